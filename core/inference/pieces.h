// SPDX-License-Identifier: GPL-3.0-or-later
// Small pieces of work in parallel. For use inside this room.
#pragma once

#include "core/base/error.h"

#include <tbb/parallel_for.h>

#include <cstddef>
#include <stop_token>
#include <string>

namespace quantloupe {

inline tl::unexpected<Error> stopped(const std::string& where)
{
    return failure(ErrorCode::Cancelled, where, "stopped on request");
}

/// work(index) for each index below `count`, one task each, until a stop is requested: the caller asks for that
/// afterwards. What is written must not depend on the order.
template<class Work>
void forEachPiece(std::size_t count, const std::stop_token& stop, const Work& work)
{
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, count, 1),
        [&](const tbb::blocked_range<std::size_t>& range) {
            for (auto i = range.begin(); i != range.end() && !stop.stop_requested(); ++i)
                work(i);
        },
        tbb::simple_partitioner());
}

}  // namespace quantloupe
