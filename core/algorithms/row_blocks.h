// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress_share.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stop_token>

namespace quantloupe {

/// Rows of a matrix that one task takes: fixed, so that results do not depend on the number of threads.
constexpr std::size_t rowsPerBlock = 128;

/// Work on a weight matrix that can be stopped and says how far it is.
struct Workload {
    std::stop_token stop {};
    std::optional<ProgressShare> progress {};  ///< absent: nobody asks
    std::size_t rows = 0;                      ///< of the matrix

    bool stopped() const { return stop.stop_requested(); }
    /// Rows [first, first + count) are done.
    void finishRows(std::size_t first, std::size_t count) const
    {
        if (progress)
            progress->advance(first, first + count, rows);
    }
};

inline tl::unexpected<Error> calibrationStopped()
{
    return failure(ErrorCode::Cancelled, "calibration", "stopped on request");
}

/// work(index) for every index below `count`, on the threads of the caller's arena; none is begun after a stop.
/// False: stopped.
template<class Work>
bool forEachIndex(std::size_t count, const std::stop_token& stop, const Work& work)
{
    tbb::parallel_for(
        std::size_t {0}, count,
        [&](std::size_t index) {
            if (!stop.stop_requested())
                work(index);
        },
        tbb::simple_partitioner());
    return !stop.stop_requested();
}

/// work(first row, row count) for blocks of rowsPerBlock rows.
template<class Work>
bool forEachRowBlock(std::size_t rows, const std::stop_token& stop, const Work& work)
{
    return forEachIndex((rows + rowsPerBlock - 1) / rowsPerBlock, stop, [&](std::size_t block) {
        const std::size_t first = block * rowsPerBlock;
        work(first, std::min(rowsPerBlock, rows - first));
    });
}

}  // namespace quantloupe
