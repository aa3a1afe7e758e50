// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/integer_grid.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Codes and rounded weights, where every weight has a grid of its own: one column of a matrix, row by row. The same
/// bits as integerEncodeReference() and integerDecodeReference() with units of one weight. All spans equally long.
void integerRoundColumn(std::span<const float> weights, std::span<const UnitGrid> grids, const IntegerCodes& codes,
    std::span<std::uint32_t> out, std::span<float> rounded);

}  // namespace quantloupe::kernels
