// SPDX-License-Identifier: GPL-3.0-or-later
// nvfp4: sixteen weights of a row share a scale in E4M3, and all of a tensor one in FP32: s₂ = absmax/(6·448),
// s = E4M3(block absmax/(6·s₂)), a zero s counts as 1; elements are E2M1, ŵ = level·(s·s₂). As NVIDIA's TensorRT Model
// Optimizer computes it. grid.scale is s·s₂, grid.zero is s₂: both scales of a file can be told from them.
#include "core/kernels/float_rounding.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {Format::Nvfp4};
constexpr float largestElement = 6.0F;
constexpr float largestScale = 448.0F;

std::string refusal(const Scheme&)
{
    return {};
}
GridBasis basis(const Scheme&)
{
    return GridBasis::AbsMax;
}

// The nearest E4M3 number to a scale ≥ 0, of two the even one, 448 at most.
float nearestE4M3(float value)
{
    // Below the normal numbers every 2⁻⁹, which is what the last bit of the sum is worth.
    constexpr float smallestNormal = 0x1p-6F, spacing = 0x1.8p14F;
    if (value < smallestNormal)
        return value + spacing - spacing;
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto rounded = std::bit_cast<float>((bits + 0x7FFFFU + (bits >> 20U & 1U)) & 0xFFF00000U);
    return std::min(rounded, largestScale);
}

UnitGrid gridOf(const Scheme&, const UnitRange& range)
{
    // An all-zero tensor, or one so small that its scale would vanish.
    const float tensorScale = std::max(range.tensorAbsMax / (largestElement * largestScale), 0x1p-126F);
    const float block = nearestE4M3(range.high / (largestElement * tensorScale));
    return {(block == 0.0F ? 1.0F : block) * tensorScale, tensorScale};
}

std::uint64_t fakeQuantize(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::floatFakeQuantize(kernels::FloatKind::E2M1, rows, shape, grids, out);
}

void encode(const Scheme&, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::floatEncode(kernels::FloatKind::E2M1, rows, shape, grids, codes);
}

void decode(const Scheme&, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::floatDecode(kernels::FloatKind::E2M1, codes, shape, grids, out);
}

std::size_t codeCount(const Scheme&)
{
    return 16;
}

// Half of the widest gap, between 4 and 6, under a scale that E4M3 rounded by up to a sixteenth of itself: up, or down
// so that the largest weight is clipped. Blocks far below the tensor's largest weight take a subnormal scale, or 1 for
// one that vanished: their weights lose no more than half of the smallest level at scale 1 or what such a scale rounds.
double worstCaseError(const Scheme&, double absMax)
{
    const double smallestScale = 0x1p-9 * absMax / (6.0 * 448.0);
    return 1.00001 * std::max(absMax / 6.0 * 1.0625, 6.0 * smallestScale);
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode};

}  // namespace

extern const NumberFormat nvfp4;
const NumberFormat nvfp4 {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
