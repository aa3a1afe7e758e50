// SPDX-License-Identifier: GPL-3.0-or-later
// Small floats widened to float32, exactly, by integer arithmetic: no instruction set decides what infinity means.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace quantloupe {

/// IEEE 754 binary16, NaNs quieted as processors do it. Without branches, so that compilers make vector code of a loop
/// over it.
inline float halfToFloat(std::uint16_t half)
{
    const std::uint32_t sign = (half & 0x8000U) << 16U;
    const std::uint32_t magnitude = half & 0x7fffU;
    // The exponent field moved into a float32 is 112 too small. Subnormals count units of 2^-24, as the last bit beside
    // one half does; as float32 subnormals they would cost a hundred cycles each.
    const float normal = std::bit_cast<float>((magnitude << 13U) + (112U << 23U));
    const float subnormal = std::bit_cast<float>(0x3f000000U | magnitude) - 0.5F;
    const float value = magnitude < 0x400U ? subnormal : normal;
    const std::uint32_t special = magnitude >= 0x7c00U ? 0x7f800000U : 0U;  // infinity, NaN: payload kept
    const std::uint32_t quiet = magnitude > 0x7c00U ? 0x00400000U : 0U;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | special | quiet | sign);
}

/// bfloat16: the upper half of a float32.
inline float bfloat16ToFloat(std::uint16_t value)
{
    return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U);
}

/// OCP E4M3 (FN variant): bias 7, no infinity, NaN = S.1111.111.
inline float float8E4M3ToFloat(std::uint8_t code)
{
    const std::uint32_t sign = (code & 0x80U) << 24U;
    const std::uint32_t magnitude = code & 0x7fU;
    if (magnitude == 0x7fU)
        return std::bit_cast<float>(sign | 0x7fc00000U);
    if (magnitude >= 0x08U)
        return std::bit_cast<float>(sign | ((magnitude << 20U) + (120U << 23U)));
    const float value = static_cast<float>(magnitude) * 0x1p-9F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
}

/// OCP E5M2: bias 15, IEEE-like infinity and NaN; the upper half of a binary16.
inline float float8E5M2ToFloat(std::uint8_t code)
{
    return halfToFloat(static_cast<std::uint16_t>(code << 8U));
}

/// OCP E8M0: 2^(code−127), 0xFF is NaN.
inline float float8E8M0ToFloat(std::uint8_t code)
{
    if (code == 0xffU)
        return std::numeric_limits<float>::quiet_NaN();
    return code == 0 ? 0x1p-127F : std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23U);
}

/// OCP E2M1, the low four bits: 0 .5 1 1.5 2 3 4 6 with sign.
inline float float4ToFloat(std::uint8_t code)
{
    constexpr float kLevels[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
    const float value = kLevels[code & 0x7U];
    return (code & 0x8U) ? -value : value;
}

}  // namespace quantloupe
