// SPDX-License-Identifier: GPL-3.0-or-later
// fp8_e4m3 and fp8_e5m2 with a scale: the largest |w| becomes the largest number of the format (448, 57,344).
// grid.zero is the factor of encoding, computed as (1/absmax)·largest in two roundings, as torch does for number /
// tensor; grid.scale, the stored one, is its reciprocal. Codes are the bit patterns. OCP 8-bit Floating Point
// Specification 1.0.
#include "core/kernels/float_rounding.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Fp8E4M3, Format::Fp8E5M2};

bool isE4M3(const Scheme& scheme)
{
    return scheme.format == Format::Fp8E4M3;
}
kernels::FloatKind kindOf(const Scheme& scheme)
{
    return isE4M3(scheme) ? kernels::FloatKind::E4M3 : kernels::FloatKind::E5M2;
}
float largestOf(const Scheme& scheme)
{
    return isE4M3(scheme) ? 448.0F : 57344.0F;
}

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMax;
}

UnitGrid gridOf(const Scheme& scheme, float, float high)
{
    if (high == 0.0F)
        return {1.0F, 1.0F};
    const float largest = largestOf(scheme);
    // Denormal ranges: the factor stops where its reciprocal would become denormal, too.
    const float factor = std::min(1.0F / high * largest, 0x1p126F);
    float scale = 1.0F / factor;
    while (!std::isfinite(scale * largest))
        scale = std::nextafter(scale, 0.0F);
    return {scale, factor};
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

std::size_t codeCount(const Scheme&)
{
    return 256;
}

// Half of the largest step, relative to the largest number: 16/448 and 4096/57344.
double worstCaseError(const Scheme& scheme, double absMax)
{
    return 1.00001 * absMax * (isE4M3(scheme) ? 16.0 / 448.0 : 4096.0 / 57344.0);
}

}  // namespace

extern const NumberFormat small_float;
const NumberFormat small_float {
    formats, refusal, basis, gridOf, fakeQuantize, encode, decode, codeCount, worstCaseError};

}  // namespace quantloupe::number_formats
