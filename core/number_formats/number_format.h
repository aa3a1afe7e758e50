// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/ranges.h"
#include "core/schemes/scheme.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// What a unit's grid is made from.
enum class GridBasis : std::uint8_t {
    None,     ///< no scale: grids are not looked at
    AbsMax,   ///< low = −high = −(largest |w|)
    Range,    ///< smallest and largest w
    AbsMean,  ///< low = high = mean |w|
};

/// What is known of a unit when its grid is made.
struct UnitRange {
    float low = 0.0F;
    float high = 0.0F;
    float tensorAbsMax = 0.0F;  ///< of the whole tensor, where the format has a scale of two levels
};

/// Formats whose units hold a scale and perhaps a zero: the grid is found first, then every weight by itself becomes a
/// code. `rows` are whole rows of `shape`, `grids` one per unit, or one if shape.shared.
struct GridMethods {
    GridBasis (*basis)(const Scheme& scheme);
    /// Grid of a unit whose values lie in a finite range; always usable (scale finite and > 0, no ŵ overflows), and
    /// one that the scheme's scale storage holds (see stored_scale.h).
    UnitGrid (*gridOf)(const Scheme& scheme, const UnitRange& range);
    /// Returns how many finite weights were clamped.
    std::uint64_t (*fakeQuantize)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
        std::span<const UnitGrid> grids, std::span<float> out);
    void (*encode)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
        std::span<const UnitGrid> grids, std::span<std::uint32_t> codes);
    void (*decode)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
        std::span<const UnitGrid> grids, std::span<float> out);
    /// The grids that the mse search chooses for units inside rows, where the format has a quicker way to the same
    /// choice than trying every candidate by itself; false where it has none for this scheme.
    bool (*searchShrunk)(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
        std::span<UnitGrid> grids) = nullptr;
    /// The grids of units of these ranges, as they were measured: not yet mirrored for GridBasis::AbsMax, empty where
    /// nothing is finite. Where the format has a quicker way to many; false where it has none for this scheme.
    bool (*gridsOf)(
        const Scheme& scheme, std::span<const kernels::FiniteRange> ranges, std::span<UnitGrid> grids) = nullptr;
};

/// Formats whose scales and codes are found together: a row becomes bytes, codes and scales in one. Rows are
/// independent; `importance` is empty or holds one value ≥ 0 per column.
struct RowMethods {
    /// Bytes of one row. Over all rows of a matrix they are Scheme::storedBytes().
    std::size_t (*rowBytes)(const Scheme& scheme, std::size_t columns);
    void (*pack)(const Scheme& scheme, std::size_t columns, std::span<const float> rows,
        std::span<const float> importance, std::span<std::byte> bytes);
    void (*unpack)(const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<float> rows);
    /// The code of each weight, as stored.
    void (*codes)(
        const Scheme& scheme, std::size_t columns, std::span<const std::byte> bytes, std::span<std::uint32_t> codes);
    /// Values that the codes stand for at one weight of one row.
    std::vector<float> (*levels)(
        const Scheme& scheme, std::size_t columns, std::span<const std::byte> row, std::size_t column);
    /// Weights along a row that share levels.
    std::size_t (*unitLength)(const Scheme& scheme, std::size_t columns);
};

/// A family of number formats: one row of the registry, in a file of its own. Functions get schemes that `refusal`
/// has let through. Exactly one of `grid` and `row` is there.
/// The law: what comes out of fakeQuantize is what is decoded from the codes, bit for bit.
struct NumberFormat {
    std::span<const Format> formats;
    /// What of this scheme is not built or makes no sense, as a clause such as "entropy ranges need more weights than
    /// a group has"; empty if all is well. Granularity is looked at by Quantizer::create(), algorithms by whoever
    /// prepares the rows.
    std::string (*refusal)(const Scheme& scheme);
    /// 0 above 65,536.
    std::size_t (*codeCount)(const Scheme& scheme);
    /// Bound of |w − ŵ| for finite |w| ≤ absMax, with grids made for the range −absMax … absMax.
    double (*worstCaseError)(const Scheme& scheme, double absMax);
    const GridMethods* grid = nullptr;
    const RowMethods* row = nullptr;
};

/// nullptr: not built yet.
const NumberFormat* numberFormatOf(Format format);
/// Every built family, in the order of the registry.
std::span<const NumberFormat* const> numberFormats();

}  // namespace quantloupe
