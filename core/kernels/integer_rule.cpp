// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe::kernels {

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

}  // namespace quantloupe::kernels
