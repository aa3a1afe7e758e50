// SPDX-License-Identifier: GPL-3.0-or-later
// fp32 (as it is), fp16 and bf16: no scale, infinities and NaN kept. Codes are the bit patterns. IEEE 754-2008.
#include "core/kernels/float_rounding.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Fp32, Format::Fp16, Format::Bf16};

kernels::FloatKind kindOf(const Scheme& scheme)
{
    return scheme.format == Format::Fp16 ? kernels::FloatKind::Half : kernels::FloatKind::BrainHalf;
}

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::None;
}
UnitGrid gridOf(const Scheme&, const UnitRange&)
{
    return {};
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    if (scheme.format != Format::Fp32)
        return kernels::floatFakeQuantize(kindOf(scheme), rows, shape, grids, out);
    std::copy(rows.begin(), rows.end(), out.begin());
    return 0;
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    if (scheme.format != Format::Fp32)
        return kernels::floatEncode(kindOf(scheme), rows, shape, grids, codes);
    std::transform(rows.begin(), rows.end(), codes.begin(), [](float x) { return std::bit_cast<std::uint32_t>(x); });
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    if (scheme.format != Format::Fp32)
        return kernels::floatDecode(kindOf(scheme), codes, shape, grids, out);
    std::transform(codes.begin(), codes.end(), out.begin(), [](std::uint32_t x) { return std::bit_cast<float>(x); });
}

std::size_t codeCount(const Scheme& scheme)
{
    return scheme.format == Format::Fp32 ? 0 : 65536;
}

double worstCaseError(const Scheme& scheme, double absMax)
{
    switch (scheme.format) {
    case Format::Fp16:
        // Half of the last bit, which is at least 2⁻²⁴; 65,520 and more become infinite.
        return absMax < 65520.0 ? std::max(std::ldexp(absMax, -11), std::ldexp(1.0, -25))
                                : std::numeric_limits<double>::infinity();
    case Format::Bf16:
        return absMax < 3.3961775292304e38 ? std::max(std::ldexp(absMax, -8), std::ldexp(1.0, -134))
                                           : std::numeric_limits<double>::infinity();
    default: return 0.0;
    }
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat plain_float;
const NumberFormat plain_float {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
