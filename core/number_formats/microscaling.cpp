// SPDX-License-Identifier: GPL-3.0-or-later
// mxfp8, mxfp6, mxfp4, mxint8: 32 weights of a row share a power of two, stored as one E8M0 byte; the elements are
// small floats or, for mxint8, −127 … 127 sixty-fourths. Shared exponent ⌊log2 absmax⌋ − (largest exponent of the
// element), so block maxima above the largest element saturate; elements round to nearest, ties to even.
// OCP Microscaling Formats (MX) Specification 1.0. A block of zeros takes scale 1.
#include "core/kernels/float_rounding.h"
#include "core/kernels/integer_grid.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {
    Format::Mxfp8E4M3, Format::Mxfp8E5M2, Format::Mxfp6E2M3, Format::Mxfp6E3M2, Format::Mxfp4, Format::Mxint8};
constexpr kernels::IntegerCodes signedBytes {1.0F, 255.0F, false};
constexpr float zeroCode = 128.0F;

struct Element {
    kernels::FloatKind kind;  ///< not of mxint8
    int largestExponent;
    double largest;
    double halfStep;  ///< below the largest
    std::size_t codes;
};

Element elementOf(const Scheme& scheme)
{
    switch (scheme.format) {
    case Format::Mxfp8E4M3: return {kernels::FloatKind::E4M3, 8, 448.0, 16.0, 256};
    case Format::Mxfp8E5M2: return {kernels::FloatKind::E5M2, 15, 57344.0, 4096.0, 256};
    case Format::Mxfp6E2M3: return {kernels::FloatKind::E2M3, 2, 7.5, 0.25, 64};
    case Format::Mxfp6E3M2: return {kernels::FloatKind::E3M2, 4, 28.0, 2.0, 64};
    case Format::Mxfp4: return {kernels::FloatKind::E2M1, 2, 6.0, 1.0, 16};
    default: return {kernels::FloatKind::E4M3, 0, 127.0 / 64.0, 1.0 / 128.0, 256};
    }
}

bool isInteger8(const Scheme& scheme)
{
    return scheme.format == Format::Mxint8;
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
    // mxint8's grid holds the value of one step, a sixty-fourth of the shared scale.
    constexpr int stepExponent = -6;
    const bool integer = isInteger8(scheme);
    if (range.high == 0.0F)
        return {integer ? 0x1p-6F : 1.0F, integer ? zeroCode : 1.0F};
    const int shared = std::clamp(std::ilogb(range.high) - elementOf(scheme).largestExponent, -127, 127);
    if (integer)
        return {std::ldexp(1.0F, shared + stepExponent), zeroCode};
    return {std::ldexp(1.0F, shared), std::ldexp(1.0F, -shared)};
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return isInteger8(scheme) ? kernels::integerFakeQuantize(rows, shape, grids, signedBytes, out)
                              : kernels::floatFakeQuantize(elementOf(scheme).kind, rows, shape, grids, out);
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    if (isInteger8(scheme))
        kernels::integerEncode(rows, shape, grids, signedBytes, codes);
    else
        kernels::floatEncode(elementOf(scheme).kind, rows, shape, grids, codes);
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    if (isInteger8(scheme))
        kernels::integerDecode(codes, shape, grids, signedBytes, out);
    else
        kernels::floatDecode(elementOf(scheme).kind, codes, shape, grids, out);
}

std::size_t codeCount(const Scheme& scheme)
{
    return elementOf(scheme).codes;
}

// A block's largest weight is below 2^(largestExponent + 1) shared scales: what it saturates by, or half a step.
double worstCaseError(const Scheme& scheme, double absMax)
{
    const Element element = elementOf(scheme);
    const double reach = std::ldexp(1.0, element.largestExponent + 1);
    const double smallestPart = std::ldexp(1.0, element.largestExponent);
    return 1.00001 * absMax * std::max((reach - element.largest) / reach, element.halfStep / smallestPart)
        + 0x1p-140;  // blocks of denormals, whose scale stops at 2⁻¹²⁷
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat microscaling;
const NumberFormat microscaling {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
