// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/integer_rule.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/integer_units_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {

// Grids of up to maxUnits units.
void SomeGrids(const IntegerScheme& scheme, const FiniteRange* ranges, std::size_t count, UnitGrid* grids)
{
    Units units;  // of which only what is set here is looked at
    units.count = count;
    for (std::size_t u = 0; u < count; ++u) {
        units.low[u] = ranges[u].minimum;  // not of a good size where the range is empty
        units.high[u] = ranges[u].maximum;
    }
    std::fill_n(units.low + count, wideLanes, 0.0F);
    std::fill_n(units.high + count, wideLanes, 0.0F);
    const bool good = makeGrids(scheme, units);
    for (std::size_t u = 0; u < count; ++u)
        grids[u] = good ? UnitGrid {units.scale[u], units.zero[u]} : integerGrid(scheme.rule, scheme.codes, ranges[u]);
}

void Grids(IntegerRule rule, const IntegerCodes& codes, const FiniteRange* ranges, std::size_t count, UnitGrid* grids)
{
    const IntegerScheme scheme {.codes = codes, .rule = rule};
    for (std::size_t first = 0; first < count; first += maxUnits)
        SomeGrids(scheme, ranges + first, HWY_MIN(maxUnits, count - first), grids + first);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Grids);

namespace {

constexpr float smallest = std::numeric_limits<float>::denorm_min();

// A range that no float step spans: twice FLT_MAX overflows, a few denormals divide to nothing.
float stepOver(float low, float high, float steps)
{
    const float step = (high - low) / steps;
    return std::isfinite(step) ? std::max(step, smallest) : high / steps - low / steps;
}

// The largest product must not round to infinity; only scales near the end of float's range are ever lowered.
float withoutOverflow(float scale, float steps)
{
    scale = std::min(scale, std::numeric_limits<float>::max() / steps);
    while (!std::isfinite(scale * steps))
        scale = std::nextafter(scale, 0.0F);
    return scale;
}

UnitGrid floatingGrid(float low, float high, float steps)
{
    if (!(low < high))
        return {1.0F, low};
    float scale = withoutOverflow(stepOver(low, high, steps), steps);
    while (!std::isfinite(scale * steps + low))
        scale = std::nextafter(scale, 0.0F);
    return {scale, low};
}

}  // namespace

UnitGrid integerGrid(IntegerRule rule, const IntegerCodes& codes, float low, float high)
{
    const float largest = codes.highest;
    const float middle = 0.5F * (largest + 1.0F);
    if (rule == IntegerRule::AsymmetricFloat)
        return floatingGrid(low, high, largest);
    if (rule == IntegerRule::Symmetric) {
        high = std::max(-low, high);
        if (high == 0.0F)
            return {1.0F, middle};
        return {withoutOverflow(std::max(high / (middle - 1.0F), smallest), middle - 1.0F), middle};
    }
    if (rule == IntegerRule::SymmetricFull) {
        // As GPTQ's code does: mirrored only where something is negative.
        high = std::max(std::max(std::abs(low), high), 0.0F);
        low = low < 0.0F ? -high : 0.0F;
    } else {
        low = std::min(low, 0.0F);
        high = std::max(high, 0.0F);
    }
    if (low == 0.0F && high == 0.0F) {
        low = -1.0F;
        high = 1.0F;
    }
    const float scale = stepOver(low, high, largest);
    if (rule == IntegerRule::SymmetricFull)
        return {withoutOverflow(scale, middle), middle};
    const float zero = std::clamp(std::nearbyint(-low / scale), 0.0F, largest) + 0.0F;
    return {withoutOverflow(scale, std::max(zero, largest - zero)), zero};
}

UnitGrid integerGrid(IntegerRule rule, const IntegerCodes& codes, const FiniteRange& range)
{
    return range.empty() ? integerGrid(rule, codes, 0.0F, 0.0F)
                         : integerGrid(rule, codes, range.minimum, range.maximum);
}

void integerGrids(
    IntegerRule rule, const IntegerCodes& codes, std::span<const FiniteRange> ranges, std::span<UnitGrid> grids)
{
    HWY_DYNAMIC_DISPATCH(Grids)(rule, codes, ranges.data(), ranges.size(), grids.data());
}

}  // namespace quantloupe::kernels
#endif
