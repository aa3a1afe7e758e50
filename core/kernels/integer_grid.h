// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Which codes an integer format uses, and what UnitGrid::zero means in it.
struct IntegerCodes {
    float lowest = 0.0F;           ///< whole, ≥ 0
    float highest = 15.0F;         ///< whole, ≤ 65,535
    bool floatingMinimum = false;  ///< ŵ = scale·code + zero instead of scale·(code − zero)
};

/// code = clamp(round(w/scale) + zero, lowest, highest), ŵ = scale·(code − zero), rounding half to even, with a true
/// division: w·(1/scale) gives other codes at ties. With a floating minimum: code = clamp(round((w − zero)/scale)),
/// ŵ = scale·code + zero, product and sum rounded separately.
/// NaN counts as 0, infinities saturate; ŵ is never −0. Every target returns the bits of the reference.
/// Returns how many finite weights were clamped.
/// @pre spans hold whole rows of `shape`; scale > 0; zero is whole (no floating minimum) and in [0, 65,535];
/// grids: one per unit, or one if shape.shared. out may be rows.
std::uint64_t integerFakeQuantize(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<float> out);
std::uint64_t integerFakeQuantizeReference(std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, const IntegerCodes& codes, std::span<float> out);

void integerEncode(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<std::uint32_t> out);
void integerEncodeReference(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<std::uint32_t> out);

/// ŵ of each code. @pre codes ≤ 65,535
void integerDecode(std::span<const std::uint32_t> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<float> out);
void integerDecodeReference(std::span<const std::uint32_t> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, const IntegerCodes& codes, std::span<float> out);

}  // namespace quantloupe::kernels
