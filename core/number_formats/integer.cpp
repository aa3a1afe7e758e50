// SPDX-License-Identifier: GPL-3.0-or-later
// Uniform integers. Stored codes are unsigned; UnitGrid::zero is the code of 0 (2^(b−1) for sym and symf), or, for
// asymf, the value of code 0. Sources: sym as in SmoothQuant and TensorRT; symf and asym as in GPTQ's Quantizer
// (arXiv 2210.17323); asymf as ggml's q4_1: minimum and step.
#include "core/kernels/integer_grid.h"
#include "core/kernels/integer_rule.h"
#include "core/kernels/shrink_search.h"
#include "core/number_formats/integer_codes.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/stored_scale.h"
#include "core/number_formats/unit_fitting.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe::number_formats {
namespace {

constexpr std::array formats {
    Format::Int2, Format::Int3, Format::Int4, Format::Int5, Format::Int6, Format::Int7, Format::Int8, Format::Int16};

int bitsOf(const Scheme& scheme)
{
    return static_cast<int>(codeBits(scheme.format));
}
float largestCode(const Scheme& scheme)
{
    return static_cast<float>((1U << static_cast<unsigned>(bitsOf(scheme))) - 1U);
}
float middleCode(const Scheme& scheme)
{
    return static_cast<float>(1U << static_cast<unsigned>(bitsOf(scheme) - 1));
}

std::string refusal(const Scheme& scheme)
{
    if (scheme.symmetry == Symmetry::AsymmetricFloat
        && (scheme.scales == ScaleStorage::E8M0 || scheme.scales == ScaleStorage::Double8))
        return "a floating minimum is no power of two and is not stored as one: asymf takes s32, s16 or sbf16";
    return {};
}

GridBasis basis(const Scheme& scheme)
{
    return scheme.symmetry == Symmetry::Symmetric ? GridBasis::AbsMax : GridBasis::Range;
}

kernels::IntegerRule ruleOf(const Scheme& scheme)
{
    switch (scheme.symmetry) {
    case Symmetry::Symmetric: return kernels::IntegerRule::Symmetric;
    case Symmetry::SymmetricFull: return kernels::IntegerRule::SymmetricFull;
    case Symmetry::Asymmetric: return kernels::IntegerRule::Asymmetric;
    case Symmetry::AsymmetricFloat: return kernels::IntegerRule::AsymmetricFloat;
    }
    return kernels::IntegerRule::Symmetric;
}

bool storesExactly(const Scheme& scheme)
{
    return scheme.scales == ScaleStorage::Float32 || scheme.scales == ScaleStorage::Float16;
}

// The grid with its scale as it will be stored, and the zero that goes with it.
UnitGrid roundedGrid(const Scheme& scheme, const UnitGrid& exact, const UnitRange& range)
{
    const float middle = middleCode(scheme);
    const float largest = largestCode(scheme);
    switch (scheme.symmetry) {
    case Symmetry::Symmetric:
    case Symmetry::SymmetricFull: return {usableScale(scheme.scales, exact.scale, middle), exact.zero};
    case Symmetry::Asymmetric: {
        const float scale = storedScale(scheme.scales, exact.scale);
        const float low = range.low == 0.0F && range.high == 0.0F ? -1.0F : std::min(range.low, 0.0F);
        const float zero = std::clamp(std::nearbyint(-low / scale), 0.0F, largest) + 0.0F;
        return {usableScale(scheme.scales, scale, std::max(zero, largest - zero)), zero};
    }
    case Symmetry::AsymmetricFloat: {
        const float minimum = storedMinimum(scheme.scales, exact.zero);
        // A minimum that came out lower leaves more to span.
        const float step = std::max(exact.scale, (range.high - minimum) / largest);
        float scale = usableScale(scheme.scales, std::isfinite(step) ? step : exact.scale, largest);
        while (!std::isfinite(scale * largest + minimum))
            scale = lowerScale(scheme.scales, scale);
        return {scale, minimum};
    }
    }
    return exact;
}

UnitGrid gridOf(const Scheme& scheme, const UnitRange& range)
{
    if (range.low == 0.0F && range.high == 0.0F && scheme.scales == ScaleStorage::Double8)
        return {scaleOfZeros(scheme.scales), middleCode(scheme)};
    const UnitGrid exact = kernels::integerGrid(ruleOf(scheme), integerCodesOf(scheme), range.low, range.high);
    return storesExactly(scheme) ? exact : roundedGrid(scheme, exact, range);
}

bool gridsOf(const Scheme& scheme, std::span<const kernels::FiniteRange> ranges, std::span<UnitGrid> grids)
{
    if (!storesExactly(scheme))
        return false;
    kernels::integerGrids(ruleOf(scheme), integerCodesOf(scheme), ranges, grids);
    return true;
}

std::uint64_t fakeQuantize(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return kernels::integerFakeQuantize(rows, shape, grids, integerCodesOf(scheme), out);
}

void encode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes)
{
    kernels::integerEncode(rows, shape, grids, integerCodesOf(scheme), codes);
}

void decode(const Scheme& scheme, const kernels::UnitShape& shape, std::span<const std::uint32_t> codes,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    kernels::integerDecode(codes, shape, grids, integerCodesOf(scheme), out);
}

std::size_t codeCount(const Scheme& scheme)
{
    return std::size_t {1} << static_cast<unsigned>(bitsOf(scheme));
}

double worstCaseError(const Scheme& scheme, double absMax)
{
    const auto largest = static_cast<double>(largestCode(scheme));
    // Half a step; a whole one where the largest positive value has no code of its own (symf), or where a rounded zero
    // point moves the grid by half a step against the range (asym). 2⁻²² of the largest weight covers what float
    // arithmetic rounds: a few units of its last place, which int16 notices.
    // A stored scale that came out larger has larger steps, one that came out smaller clips the ends.
    const ScaleStretch stretch = scaleStretch(scheme.scales);
    const double rounding = std::ldexp(absMax, -22) + 2.0 * absMax * (1.0 - stretch.smallest);
    switch (scheme.symmetry) {
    case Symmetry::Symmetric:
        return stretch.largest * 0.5 * absMax / (static_cast<double>(middleCode(scheme)) - 1.0) + rounding;
    case Symmetry::SymmetricFull:
    case Symmetry::Asymmetric: return stretch.largest * 2.0 * absMax / largest + rounding;
    case Symmetry::AsymmetricFloat: return stretch.largest * absMax / largest + rounding;
    }
    return 0.0;
}

bool searchShrunk(
    const Scheme& scheme, const kernels::UnitShape& shape, std::span<const float> rows, std::span<UnitGrid> grids)
{
    // The kernel's grids are those of exact scales.
    if (!storesExactly(scheme))
        return false;
    static const auto shrinks = [] {
        std::array<float, shrinkCandidates> factors {};
        for (std::size_t i = 0; i < factors.size(); ++i)
            factors[i] = shrunkRange(1.0F, 1.0F, i).high;
        return factors;
    }();
    kernels::integerShrinkSearch(rows, shape, ruleOf(scheme), integerCodesOf(scheme), shrinks, grids);
    return true;
}

constexpr GridMethods methods {basis, gridOf, fakeQuantize, encode, decode, searchShrunk, gridsOf};

}  // namespace

extern const NumberFormat integer;
const NumberFormat integer {formats, refusal, codeCount, worstCaseError, &methods};

}  // namespace quantloupe::number_formats
