// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

#include <cstdint>
#include <string_view>

namespace quantloupe {

/// What kind of numbers a format makes, and with it which parts of the notation it takes.
enum class FormatFamily : std::uint8_t {
    Integer,      ///< all parts
    Ternary,      ///< granularity and scale; its scale is the mean |w|, so no range
    Plain,        ///< fp32, fp16, bf16: no scale, no parts
    SmallFloat,   ///< granularity, range, scale
    CodeBook,     ///< fixed levels: granularity, range, scale
    LookUpTable,  ///< k-means levels, one table per unit: granularity, and scale for the table's entries
    PowerOfTwo,   ///< granularity, range, scale
    Block,        ///< a block, and a scale, of its own: no parts
};

/// One row of the format table.
struct FormatTraits {
    Format format;
    std::string_view name;
    FormatFamily family;
    double codeBits;  ///< per weight, scales excluded
    Granularity defaultGranularity;
    std::uint16_t blockElements = 0;  ///< Block only
    std::uint16_t blockBytes = 0;     ///< Block only: codes and scales of one block
    std::uint16_t tensorBytes = 0;    ///< Block only: once per tensor
};

const FormatTraits& traitsOf(Format format);

constexpr bool takesGranularity(FormatFamily family)
{
    return family != FormatFamily::Plain && family != FormatFamily::Block;
}
constexpr bool takesSymmetry(FormatFamily family)
{
    return family == FormatFamily::Integer;
}
constexpr bool takesRange(FormatFamily family)
{
    return takesGranularity(family) && family != FormatFamily::Ternary && family != FormatFamily::LookUpTable;
}
constexpr bool takesScale(FormatFamily family)
{
    return takesGranularity(family);
}

// The words of the notation; empty for a value outside the enumeration.
std::string_view wordOf(Symmetry symmetry);
std::string_view wordOf(ScaleStorage storage);
std::string wordOf(const Granularity& granularity);
std::string wordOf(const RangeEstimator& range);

}  // namespace quantloupe
