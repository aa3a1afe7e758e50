// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/stored_scale.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quantloupe {
namespace {

float nearestBrainFloat(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const float rounded = std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U);
    // Near the end of the range the nearest is infinity: the largest finite one then.
    return std::isfinite(rounded) ? rounded : std::bit_cast<float>(bits & 0xFFFF0000U);
}

float nextPowerOfTwo(float scale)
{
    int exponent = 0;
    const float fraction = std::frexp(scale, &exponent);  // in [0.5, 1)
    return std::ldexp(1.0F, std::clamp(fraction == 0.5F ? exponent - 1 : exponent, -127, 127));
}

}  // namespace

float storedScale(ScaleStorage storage, float scale)
{
    switch (storage) {
    case ScaleStorage::BFloat16: return std::max(nearestBrainFloat(scale), 0x1p-133F);
    case ScaleStorage::E8M0: return nextPowerOfTwo(scale);
    case ScaleStorage::Float32:
    case ScaleStorage::Float16:
    case ScaleStorage::Double8: break;
    }
    return scale;
}

float scaleOfZeros(ScaleStorage storage)
{
    return storage == ScaleStorage::Double8 ? std::numeric_limits<float>::min() : 1.0F;
}

float lowerScale(ScaleStorage storage, float scale)
{
    switch (storage) {
    case ScaleStorage::BFloat16: return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scale) - 0x10000U);
    case ScaleStorage::E8M0: return scale / 2.0F;
    default: return std::nextafter(scale, 0.0F);
    }
}

float usableScale(ScaleStorage storage, float scale, float steps)
{
    scale = storedScale(storage, std::min(scale, std::numeric_limits<float>::max() / steps));
    while (!std::isfinite(scale * steps))
        scale = lowerScale(storage, scale);
    return scale;
}

ScaleStretch scaleStretch(ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::BFloat16: return {1.0 + 0x1p-8, 1.0 - 0x1p-8};
    case ScaleStorage::E8M0: return {2.0, 1.0};
    default: return {};
    }
}

float storedMinimum(ScaleStorage storage, float minimum)
{
    return storage == ScaleStorage::BFloat16 ? nearestBrainFloat(minimum) : minimum;
}

}  // namespace quantloupe
