// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/unit_grid.h"
#include "core/schemes/scheme.h"

#include <cstdint>
#include <span>

namespace quantloupe {

/// What a unit's grid is made from.
enum class GridBasis : std::uint8_t {
    None,     ///< no scale: grids are not looked at
    AbsMax,   ///< low = −high = −(largest |w|)
    Range,    ///< smallest and largest w
    AbsMean,  ///< low = high = mean |w|
};

/// A family of number formats: one row of the registry, in a file of its own. Functions get schemes that `refusal`
/// has let through; `rows` are whole rows of `shape`, `grids` one per unit, or one if shape.shared.
/// The law: fakeQuantize(x) == decode(encode(x)), bit for bit.
struct NumberFormat {
    std::span<const Format> formats;
    /// What of this scheme is not built yet, as a clause such as "entropy ranges of int4 are not built yet"; empty if
    /// all is. Granularity, scale storage and algorithms are looked at by Quantizer::create().
    std::string (*refusal)(const Scheme& scheme);
    GridBasis (*basis)(const Scheme& scheme);
    /// Grid of a unit whose values lie in [low, high], finite; always usable (scale finite and > 0, no ŵ overflows).
    UnitGrid (*gridOf)(const Scheme& scheme, float low, float high);
    /// Returns how many finite weights were clamped.
    std::uint64_t (*fakeQuantize)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
        std::span<const UnitGrid> grids, std::span<float> out);
    void (*encode)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
        std::span<const UnitGrid> grids, std::span<std::uint32_t> codes);
    void (*decode)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
        std::span<const UnitGrid> grids, std::span<float> out);
    /// 0 above 65,536.
    std::size_t (*codeCount)(const Scheme& scheme);
    /// Bound of |w − ŵ| for finite |w| ≤ absMax, with the grid that gridOf() makes for the range −absMax … absMax.
    double (*worstCaseError)(const Scheme& scheme, double absMax);
};

/// nullptr: not built yet.
const NumberFormat* numberFormatOf(Format format);
/// Every built family, in the order of the registry.
std::span<const NumberFormat* const> numberFormats();

}  // namespace quantloupe
