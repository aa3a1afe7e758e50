// SPDX-License-Identifier: GPL-3.0-or-later
// Floats of eight, six and four bits with a scale: the largest |w| becomes the largest number of the format (448,
// 57,344, 7.5, 28, 6). Codes are the bit patterns. OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats
// 1.0 for the elements of six and four bits.
// fp8: grid.zero is the factor of encoding, (1/absmax)·largest in two roundings, as torch does for number / tensor;
// grid.scale, the stored one, is its reciprocal, or the factor is the scale's where the storage rounds scales.
// fp6, fp4: weights are divided by grid.scale.
#include "core/kernels/float_rounding.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Fp8E4M3, Format::Fp8E5M2, Format::Fp6E2M3, Format::Fp6E3M2, Format::Fp4E2M1};

// What this file needs to know of a format: the largest number, and half of the step just below it.
struct SmallFloat {
    kernels::FloatKind kind;
    float largest;
    double halfStep;
    std::size_t codes;
};

SmallFloat smallFloatOf(const Scheme& scheme)
{
    switch (scheme.format) {
    case Format::Fp8E4M3: return {kernels::FloatKind::E4M3, 448.0F, 16.0, 256};
    case Format::Fp8E5M2: return {kernels::FloatKind::E5M2, 57344.0F, 4096.0, 256};
    case Format::Fp6E2M3: return {kernels::FloatKind::E2M3, 7.5F, 0.25, 64};
    case Format::Fp6E3M2: return {kernels::FloatKind::E3M2, 28.0F, 2.0, 64};
    default: return {kernels::FloatKind::E2M1, 6.0F, 1.0, 16};
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
    if (range.high == 0.0F)
        return {scaleOfZeros(scheme.scales), 1.0F / scaleOfZeros(scheme.scales)};
    const SmallFloat format = smallFloatOf(scheme);
    // Denormal ranges: the factor stops where its reciprocal would become denormal, too.
    const float factor = std::min(1.0F / range.high * format.largest, 0x1p126F);
    const float exact = 1.0F / factor;
    const float scale = usableScale(scheme.scales, exact, format.largest);
    return {scale, scale == exact ? factor : 1.0F / scale};
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::floatFakeQuantize(smallFloatOf(scheme).kind, rows, shape, grids, out);
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::floatEncode(smallFloatOf(scheme).kind, rows, shape, grids, codes);
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::floatDecode(smallFloatOf(scheme).kind, codes, shape, grids, out);
}

std::size_t codeCount(const Scheme& scheme)
{
    return smallFloatOf(scheme).codes;
}

double worstCaseError(const Scheme& scheme, double absMax)
{
    const SmallFloat format = smallFloatOf(scheme);
    const ScaleStretch stretch = scaleStretch(scheme.scales);
    return absMax
        * (1.00001 * stretch.largest * format.halfStep / static_cast<double>(format.largest) + 1.0 - stretch.smallest);
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat small_float;
const NumberFormat small_float {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
