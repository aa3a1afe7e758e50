// SPDX-License-Identifier: GPL-3.0-or-later
// 0 and ±absmax·2⁻ᵏ, k = 0 … 2^(b−1)−2: a sign bit and b−1 bits of exponent, none of mantissa, so that products become
// shifts (Miyashita et al., arXiv 1603.01025; Zhou et al., arXiv 1702.03044). Weights go to the nearest level, ties to
// the larger one (half of the smallest to 0). grid.scale is the absmax; codes are the bit patterns, in which exponent 0
// stands for 0.
#include "core/kernels/float_rounding.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"

#include <array>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Pot3, Format::Pot4, Format::Pot5};

kernels::FloatKind kindOf(const Scheme& scheme)
{
    switch (scheme.format) {
    case Format::Pot3: return kernels::FloatKind::Power3;
    case Format::Pot4: return kernels::FloatKind::Power4;
    default: return kernels::FloatKind::Power5;
    }
}

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMax;
}
UnitGrid gridOf(const Scheme& scheme, const UnitRange& range)
{
    return {range.high == 0.0F ? scaleOfZeros(scheme.scales) : usableScale(scheme.scales, range.high, 1.0F), 0.0F};
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::floatFakeQuantize(kindOf(scheme), rows, shape, grids, out);
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::floatEncode(kindOf(scheme), rows, shape, grids, codes);
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::floatDecode(kindOf(scheme), codes, shape, grids, out);
}

std::size_t codeCount(const Scheme& scheme)
{
    return std::size_t {1} << static_cast<unsigned>(codeBits(scheme.format));
}

// Half of the widest gap, between 1/2 and 1; a stretched scale may leave the largest weight below that, in a narrower
// one, or above 1.
double worstCaseError(const Scheme& scheme, double absMax)
{
    const ScaleStretch stretch = scaleStretch(scheme.scales);
    return absMax * (1.00001 * 0.25 * stretch.largest + 1.0 - stretch.smallest);
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat power_of_two;
const NumberFormat power_of_two {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
