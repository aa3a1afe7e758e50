// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/pair_table.h"

#include <algorithm>
#include <array>

namespace quantloupe::kernels {

void PairTable::fold(std::span<std::uint64_t> counts)
{
    std::array<std::uint32_t, bins> first {};
    for (std::size_t second = 0; second < m_cells.size() / bins; ++second) {
        const auto row = std::span(m_cells).subspan(second * bins).first<bins>();
        std::uint32_t all = 0;
        for (const auto cell : row)
            all |= cell;
        if (all == 0)
            continue;
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < bins; ++i) {
            first[i] += row[i];
            sum += row[i];
        }
        counts[second] += sum;
    }
    for (std::size_t i = 0; i < bins; ++i)
        counts[i] += first[i] + m_carried[i];
    std::fill(m_cells.begin(), m_cells.end(), std::uint8_t {0});
    m_carried.fill(0);
}

}  // namespace quantloupe::kernels
