// SPDX-License-Identifier: GPL-3.0-or-later
// −s, 0 and +s with s the mean |w|, at least 1e-5: BitNet b1.58 (arXiv 2402.17764). Stored codes 0, 1, 2; grid.zero
// is 1.
#include "core/kernels/integer_grid.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"

#include <algorithm>
#include <array>
#include <limits>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Ternary};
constexpr kernels::IntegerCodes codes012 {0.0F, 2.0F, false};
constexpr float smallestScale = 1e-5F;

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMean;
}

UnitGrid gridOf(const Scheme& scheme, const UnitRange& range)
{
    return {usableScale(scheme.scales, std::max(range.high, smallestScale), 1.0F), 1.0F};
}

std::uint64_t fakeQuantize(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::integerFakeQuantize(rows, shape, grids, codes012, out);
}

void encode(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::integerEncode(rows, shape, grids, codes012, codes);
}

void decode(const Scheme&, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::integerDecode(codes, shape, grids, codes012, out);
}

std::size_t codeCount(const Scheme&)
{
    return 3;
}

// A weight beyond s loses at most all of itself, one that rounds up to s less than half of s, hence less than itself.
double worstCaseError(const Scheme&, double absMax)
{
    return absMax;
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat ternary;
const NumberFormat ternary {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
