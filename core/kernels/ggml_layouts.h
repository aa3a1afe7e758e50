// SPDX-License-Identifier: GPL-3.0-or-later
// Where the parts of ggml's 32-weight blocks lie, and how codes and scales get in and out. All little-endian.
// Source: ggml-common.h (MIT licence, The ggml authors).
#pragma once

#include "core/kernels/float_bits.h"
#include "core/kernels/ggml_blocks.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace quantloupe::kernels::ggml {

inline constexpr std::size_t kGroup = 32;  ///< weights that share a scale in every format of this header

inline void storeHalf(std::byte* at, std::uint16_t half)
{
    at[0] = static_cast<std::byte>(half & 0xffU);
    at[1] = static_cast<std::byte>(half >> 8U);
}

inline std::uint16_t loadHalf(const std::byte* at)
{
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(at[0]) | std::to_integer<unsigned>(at[1]) << 8U);
}

/// Q4_0, Q4_1, Q5_0, Q5_1: scale, minimum if any, fifth bits if any (bit j is weight j's), nibbles.
struct LegacyLayout {
    bool hasMinimum = false;
    bool hasFifthBit = false;

    constexpr explicit LegacyLayout(GgmlBlock block)
        : hasMinimum(block == GgmlBlock::Q4_1 || block == GgmlBlock::Q5_1)
        , hasFifthBit(block == GgmlBlock::Q5_0 || block == GgmlBlock::Q5_1)
    {
    }
    constexpr int levels() const { return hasFifthBit ? 16 : 8; }  ///< codes on either side of zero
    constexpr int highest() const { return 2 * levels() - 1; }
    constexpr std::size_t fifthBits() const { return hasMinimum ? 4 : 2; }
    constexpr std::size_t nibbles() const { return fifthBits() + (hasFifthBit ? 4 : 0); }
    constexpr std::size_t bytes() const { return nibbles() + 16; }
};

/// 32 codes in 16 bytes: the first half in the low nibbles, the second in the high ones.
inline void storeNibbles(std::byte* at, const std::uint8_t* codes)
{
    for (std::size_t j = 0; j < 16; ++j)
        at[j] = static_cast<std::byte>((codes[j] & 0xfU) | (codes[j + 16] & 0xfU) << 4U);
}

inline void loadNibbles(const std::byte* at, std::uint8_t* codes)
{
    for (std::size_t j = 0; j < 16; ++j) {
        codes[j] = static_cast<std::uint8_t>(at[j] & std::byte {0xf});
        codes[j + 16] = static_cast<std::uint8_t>(at[j] >> 4U);
    }
}

inline void storeFifthBits(std::byte* at, const std::uint8_t* codes)
{
    for (std::size_t j = 0; j < 4; ++j) {
        unsigned bits = 0;
        for (unsigned i = 0; i < 8; ++i)
            bits |= (codes[8 * j + i] >> 4U & 1U) << i;
        at[j] = static_cast<std::byte>(bits);
    }
}

inline void addFifthBits(const std::byte* at, std::uint8_t* codes)
{
    for (std::size_t j = 0; j < kGroup; ++j)
        codes[j] = static_cast<std::uint8_t>(codes[j] | (std::to_integer<unsigned>(at[j / 8]) >> j % 8 & 1U) << 4U);
}

/// The sixteen values of the IQ4 formats.
inline constexpr std::array<float, 16> kIq4Levels {-127.0F, -104.0F, -83.0F, -65.0F, -49.0F, -35.0F, -22.0F, -10.0F,
    1.0F, 13.0F, 25.0F, 38.0F, 53.0F, 69.0F, 89.0F, 113.0F};

/// The scale of one of the eight groups of IQ4_XS, in steps of the block's scale: −32 … 31.
inline int iq4GroupScale(const std::byte* block, std::size_t group)
{
    const unsigned low = std::to_integer<unsigned>(block[4 + group / 2]) >> 4U * (group % 2) & 0xfU;
    const unsigned high = std::to_integer<unsigned>(block[2 + group / 4]) >> 2U * (group % 4) & 3U;
    return static_cast<int>(low | high << 4U) - 32;
}

}  // namespace quantloupe::kernels::ggml
