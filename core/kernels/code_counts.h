// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

constexpr std::size_t mostCountedCodes = 256;

/// counts[c] += how often code c occurs. @pre codes < counts.size() ≤ mostCountedCodes
void countCodes(std::span<const std::uint32_t> codes, std::span<std::uint32_t> counts);
void countCodesReference(std::span<const std::uint32_t> codes, std::span<std::uint32_t> counts);

}  // namespace quantloupe::kernels
