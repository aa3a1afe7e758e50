// SPDX-License-Identifier: GPL-3.0-or-later
// Eight bytes side by side in one word, the first in the lowest: what unpacking needs on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quantloupe::kernels::ggml {

/// `byte` eight times.
constexpr std::uint64_t eightOf(std::uint8_t byte)
{
    return byte * std::uint64_t {0x0101010101010101};
}

inline std::uint64_t loadEight(const std::byte* from)
{
    std::uint64_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

inline void storeEight(std::uint64_t bytes, std::int8_t* to)
{
    std::memcpy(to, &bytes, sizeof bytes);
}

/// Byte by byte, modulo 256.
inline std::uint64_t sumOfEight(std::uint64_t a, std::uint64_t b)
{
    constexpr std::uint64_t kTops = eightOf(0x80);
    return ((a & ~kTops) + (b & ~kTops)) ^ ((a ^ b) & kTops);
}

inline std::uint64_t lessOne(std::uint64_t bytes)
{
    return sumOfEight(bytes, eightOf(0xff));
}

}  // namespace quantloupe::kernels::ggml
