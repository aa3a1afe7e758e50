// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe::kernels {

/// Counters of a histogram of 256 bins while it is filled, two values at a time: a cell for each pair of bins, so that
/// there is one increment where there would be two, and hardly ever one that waits for another of its counter. Cells
/// are bytes, so that those in use stay in the first-level cache or near it; what they cannot hold goes to the bins at
/// once, so that counts are exact. 64 KiB once anything is counted.
class PairTable
{
public:
    static constexpr std::size_t bins = 256;

    /// One per pair: first + 256·second. Whoever counts up to 0 calls carry(), down from 0 borrow().
    std::uint8_t* cells()
    {
        m_cells.resize(bins * bins);
        return m_cells.data();
    }
    void carry(std::size_t pair)
    {
        m_carried[pair % bins] += cellSize;
        m_carried[pair / bins] += cellSize;
    }
    void borrow(std::size_t pair)
    {
        m_carried[pair % bins] -= cellSize;
        m_carried[pair / bins] -= cellSize;
    }

    /// Adds all that was counted to the bins, and forgets it. @pre counts.size() == bins
    void fold(std::span<std::uint64_t> counts);

private:
    static constexpr std::uint64_t cellSize = 256;

    std::vector<std::uint8_t> m_cells;
    std::array<std::uint64_t, bins> m_carried {};  ///< modulo 2⁶⁴
};

}  // namespace quantloupe::kernels
