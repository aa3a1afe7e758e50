// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/integer_grid.h"
#include "core/kernels/ranges.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// How the grid of a unit is made from its smallest and largest finite weight; Given: it is not, but handed over.
/// Sources: core/number_formats/integer.cpp.
enum class IntegerRule : std::uint8_t { Given, Symmetric, SymmetricFull, Asymmetric, AsymmetricFloat };

/// The grid for weights in [low, high], finite, both 0 where there are none; always usable: scale finite and > 0, no ŵ
/// overflows. codes.highest is 2^b − 1. @pre rule is not Given
UnitGrid integerGrid(IntegerRule rule, const IntegerCodes& codes, float low, float high);

/// The same for a measured range; an empty one counts as zeros.
UnitGrid integerGrid(IntegerRule rule, const IntegerCodes& codes, const FiniteRange& range);

/// The same for many units. @pre same size; rule is not Given
void integerGrids(
    IntegerRule rule, const IntegerCodes& codes, std::span<const FiniteRange> ranges, std::span<UnitGrid> grids);

}  // namespace quantloupe::kernels
