// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Patterns that a float of 16 bits can have.
constexpr std::size_t halfPatterns = 65'536;

/// Counts the patterns of one row of 16-bit floats, little-endian, wherever they lie: counts[p] gains the number of
/// those of pattern p (modulo 2³²). columnAbsMax[i] becomes the larger of itself and the pattern without its sign at
/// place i, where that is finite, which is below `infinity`. Returns the largest such pattern of the row, 0 without
/// one: patterns without a sign are in the order of their sizes.
/// @pre counts.size() == halfPatterns, row.size() == 2·columnAbsMax.size()
std::uint16_t countHalves(std::span<const std::byte> row, std::uint16_t infinity, std::span<std::uint32_t> counts,
    std::span<std::uint16_t> columnAbsMax);
std::uint16_t countHalvesReference(std::span<const std::byte> row, std::uint16_t infinity,
    std::span<std::uint32_t> counts, std::span<std::uint16_t> columnAbsMax);

}  // namespace quantloupe::kernels
