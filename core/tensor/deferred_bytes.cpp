// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/deferred_bytes.h"

#include <chrono>
#include <utility>

namespace quantloupe {

Result<std::shared_ptr<const MappedFile>> DeferredBytes::hold(std::stop_token stop) const
{
    // Who waits for another's unpacking can be stopped too.
    std::unique_lock lock(m_mutex, std::defer_lock);
    while (!lock.try_lock_for(std::chrono::milliseconds(20)))
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, where(), "stopped on request");
    if (auto map = m_held.lock())
        return map;
    auto written = TemporaryFile::create();
    if (!written)
        return tl::unexpected(std::move(written.error()));
    std::uint64_t left = m_size;
    const auto sink = [&](Bytes piece) -> Result<void> {
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, where(), "stopped on request");
        if (piece.size() > left)
            return failure(ErrorCode::Malformed, where(), "unpacks to more than its size says");
        left -= piece.size();
        return written->append(piece);
    };
    if (auto produced = produce(sink, stop); !produced)
        return tl::unexpected(std::move(produced.error()));
    if (left > 0)
        return failure(
            ErrorCode::Malformed, where(), "unpacks to " + std::to_string(left) + " bytes less than its size says");
    auto map = written->map();
    if (map)
        m_held = *map;
    return map;
}

std::shared_ptr<const MappedFile> DeferredBytes::held() const
{
    const std::lock_guard lock(m_mutex);
    return m_held.lock();
}

}  // namespace quantloupe
