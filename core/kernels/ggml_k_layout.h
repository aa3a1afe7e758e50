// SPDX-License-Identifier: GPL-3.0-or-later
// What one super-block of ggml's k-quants holds besides its codes, how that is packed, and how scales become small
// integers. Source: layout of ggml-common.h and behaviour of ggml-quants.c (MIT licence, The ggml authors).
#pragma once

#include "core/kernels/float_bits.h"
#include "core/kernels/ggml_blocks.h"
#include "core/kernels/ggml_fits.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace quantloupe::kernels::ggml {

inline constexpr std::size_t kSuperBlock = 256;

/// What tells one affine format from the next: weight ≈ d·scale·code − dmin·minimum.
struct AffineFormat {
    std::size_t groupLength;
    int highestCode, highestScale;
    AffineSearch plain;  ///< the search where there is no importance
};

constexpr AffineFormat affineFormat(GgmlBlock block)
{
    if (block == GgmlBlock::Q2_K)
        return {16, 3, 15, {-0.5F, 0.1F, 15, true, false}};
    if (block == GgmlBlock::Q4_K)
        return {32, 15, 63, {-1.0F, 0.1F, 20, false, false}};
    return {32, 31, 63, {-0.5F, 0.1F, 15, false, false}};  // Q5_K
}

constexpr bool isAffine(GgmlBlock block)
{
    return block == GgmlBlock::Q2_K || block == GgmlBlock::Q4_K || block == GgmlBlock::Q5_K;
}

/// Scales of one super-block as they are stored: of Q2_K 16 pairs of 0 … 15, of Q4_K and Q5_K 8 pairs of 0 … 63; of
/// Q3_K 16 of −32 … 31, of Q6_K 16 of −128 … 127, both without minima.
struct SmallScales {
    std::uint16_t d = 0, dmin = 0;  ///< binary16
    std::int8_t scale[16] = {};
    std::uint8_t minimum[16] = {};
};

/// Where a format keeps what; offsets in bytes. high: the codes' upper bits.
struct BlockLayout {
    std::size_t scales, d, dmin, low, high;
};

constexpr BlockLayout layoutOf(GgmlBlock block)
{
    switch (block) {
    case GgmlBlock::Q2_K: return {0, 80, 82, 16, 0};
    case GgmlBlock::Q3_K: return {96, 108, 0, 32, 0};
    case GgmlBlock::Q4_K: return {4, 0, 2, 16, 0};
    case GgmlBlock::Q5_K: return {4, 0, 2, 48, 16};
    default: return {192, 208, 0, 0, 128};  // Q6_K
    }
}

inline void storeHalf(std::uint16_t half, std::uint8_t* at)
{
    at[0] = static_cast<std::uint8_t>(half & 0xffU);
    at[1] = static_cast<std::uint8_t>(half >> 8U);
}

inline std::uint16_t loadHalf(const std::uint8_t* at)
{
    return static_cast<std::uint16_t>(at[0] | at[1] << 8U);
}

/// All of a block but its codes.
inline void storeScales(GgmlBlock block, const SmallScales& scales, std::uint8_t* out)
{
    const BlockLayout layout = layoutOf(block);
    const auto byte = [](unsigned value) { return static_cast<std::uint8_t>(value); };
    storeHalf(scales.d, out + layout.d);
    if (isAffine(block))
        storeHalf(scales.dmin, out + layout.dmin);
    std::uint8_t* at = out + layout.scales;
    unsigned scale[16];
    for (std::size_t g = 0; g < 16; ++g)
        scale[g] = block == GgmlBlock::Q3_K ? unsigned(scales.scale[g] + 32) : byte(unsigned(scales.scale[g]));
    if (block == GgmlBlock::Q2_K || block == GgmlBlock::Q6_K) {
        for (std::size_t g = 0; g < 16; ++g)
            at[g] = byte(scale[g] | unsigned(scales.minimum[g]) << 4U);
    } else if (block == GgmlBlock::Q3_K) {
        for (std::size_t g = 0; g < 8; ++g)
            at[g] = byte((scale[g] & 15U) | (scale[g + 8] & 15U) << 4U);
        for (std::size_t g = 0; g < 4; ++g)
            at[g + 8] =
                byte(scale[g] >> 4U | scale[g + 4] >> 4U << 2U | scale[g + 8] >> 4U << 4U | scale[g + 12] >> 4U << 6U);
    } else {
        const std::uint8_t* minimum = scales.minimum;
        for (std::size_t g = 0; g < 4; ++g) {
            at[g] = byte(scale[g] | scale[g + 4] >> 4U << 6U);
            at[g + 4] = byte(minimum[g] | unsigned(minimum[g + 4]) >> 4U << 6U);
            at[g + 8] = byte((scale[g + 4] & 15U) | (minimum[g + 4] & 15U) << 4U);
        }
    }
}

/// The eight scales and the eight minima of Q4_K and Q5_K, a byte each, the first in the lowest.
struct SixBitScales {
    std::uint64_t scales, minima;
};

inline SixBitScales sixBitScales(const std::uint8_t* in)
{
    std::uint32_t word[3];
    std::memcpy(word, in, sizeof word);
    constexpr std::uint32_t kSix = 0x3f3f3f3fU, kFour = 0x0f0f0f0fU, kUpper = 0x30303030U;
    const std::uint64_t scales = (word[2] & kFour) | (word[0] >> 2U & kUpper);
    const std::uint64_t minima = (word[2] >> 4U & kFour) | (word[1] >> 2U & kUpper);
    return {scales << 32U | (word[0] & kSix), minima << 32U | (word[1] & kSix)};
}

inline SmallScales loadScales(GgmlBlock block, const std::uint8_t* in)
{
    const BlockLayout layout = layoutOf(block);
    SmallScales scales;
    scales.d = loadHalf(in + layout.d);
    if (isAffine(block))
        scales.dmin = loadHalf(in + layout.dmin);
    const std::uint8_t* at = in + layout.scales;
    if (block == GgmlBlock::Q2_K) {
        for (std::size_t g = 0; g < 16; ++g) {
            scales.scale[g] = static_cast<std::int8_t>(at[g] & 15U);
            scales.minimum[g] = static_cast<std::uint8_t>(at[g] >> 4U);
        }
    } else if (block == GgmlBlock::Q6_K) {
        std::memcpy(scales.scale, at, 16);
    } else if (block == GgmlBlock::Q3_K) {
        for (std::size_t g = 0; g < 16; ++g) {
            const int low = g < 8 ? at[g] & 15 : at[g - 8] >> 4;
            const int high = at[8 + g % 4] >> (2 * (g / 4)) & 3;
            scales.scale[g] = static_cast<std::int8_t>((low | high << 4) - 32);
        }
    } else {
        const auto bytes = sixBitScales(at);
        std::memcpy(scales.scale, &bytes.scales, sizeof bytes.scales);
        std::memcpy(scales.minimum, &bytes.minima, sizeof bytes.minima);
    }
    return scales;
}

/// One of an affine block's two sets of scales, the largest to the highest code; returns the scale of the scales.
template<class Code>
inline std::uint16_t spreadScales(std::span<const float> values, int highest, Code* codes)
{
    float largest = 0.0F;
    for (const float value : values)
        largest = value > largest ? value : largest;
    const float inverse = largest > 0.0F ? static_cast<float>(highest) / largest : 0.0F;
    for (std::size_t g = 0; g < values.size(); ++g) {
        const auto code = static_cast<std::uint8_t>(nearestInteger(inverse * values[g]));
        codes[g] = static_cast<Code>(code < highest ? code : highest);
    }
    return saturatedHalf(largest / static_cast<float>(highest));
}

}  // namespace quantloupe::kernels::ggml
