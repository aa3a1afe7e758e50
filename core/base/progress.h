// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <cstdint>

namespace quantloupe {

/// Written by workers, sampled by the interface. Bytes, because tensors differ in size by 10⁵.
struct Progress {
    std::atomic<std::uint64_t> doneBytes = 0;   ///< bytes of stored weights finished
    std::atomic<std::uint64_t> totalBytes = 0;  ///< 0 while not known
    std::atomic<std::uint32_t> doneItems = 0;   ///< tensors finished and handed over
    std::atomic<std::uint32_t> totalItems = 0;
};

}  // namespace quantloupe
