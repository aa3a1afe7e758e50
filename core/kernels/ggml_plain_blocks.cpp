// SPDX-License-Identifier: GPL-3.0-or-later
// Formats whose codes are the numbers themselves. Source: interop notes on ggml's blocks, sections 2 and 8.
#include "core/kernels/ggml_byte_lanes.h"
#include "core/kernels/ggml_coded_blocks.h"
#include "core/kernels/ggml_layouts.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace quantloupe::kernels::ggml {
namespace {

/// Twice the value of an E2M1 code; the code of −0 gives 0.
constexpr std::int8_t kTwiceFloat4[16] {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The first half of the codes in the low nibbles, the second in the high ones.
template<std::size_t count>
void unpackFloat4(const std::byte* at, std::int8_t* codes)
{
    for (std::size_t j = 0; j < count / 2; ++j) {
        const auto pair = std::to_integer<unsigned>(at[j]);
        codes[j] = kTwiceFloat4[pair & 0xfU];
        codes[j + count / 2] = kTwiceFloat4[pair >> 4U];
    }
}

void unpackMxfp4(const std::byte* block, CodedBlock& out)
{
    // Half of 2^(e − 127), for the codes are twice their values.
    const auto e = std::to_integer<std::uint32_t>(block[0]);
    out.scales[0] = std::bit_cast<float>(e < 2 ? 0x00200000U << e : (e - 1) << 23U);
    unpackFloat4<32>(block + 1, out.codes);
}

/// An E4M3 without a sign; 0x7F is no number and counts as 0.
float unsignedFloat8(unsigned code)
{
    const unsigned exponent = code >> 3U & 0xfU, mantissa = code & 7U;
    if (code == 0x7fU)
        return 0.0F;
    if (exponent == 0)
        return static_cast<float>(mantissa) * 0x1p-9F;
    return std::bit_cast<float>((exponent + 120U) << 23U | mantissa << 20U);
}

void unpackNvfp4(const std::byte* block, CodedBlock& out)
{
    for (std::size_t run = 0; run < 4; ++run) {
        out.scales[run] = unsignedFloat8(std::to_integer<unsigned>(block[run])) * 0.5F;
        unpackFloat4<16>(block + 4 + 8 * run, out.codes + 16 * run);
    }
}

void unpackQ8_1(const std::byte* block, CodedBlock& out)
{
    out.scales[0] = halfToFloat(loadHalf(block));
    std::memcpy(out.codes, block + 4, 32);
}

void unpackQ8_K(const std::byte* block, CodedBlock& out)
{
    std::memcpy(out.scales, block, sizeof(float));
    std::memcpy(out.codes, block + 4, 256);
}

void unpackQ1_0(const std::byte* block, CodedBlock& out)
{
    out.scales[0] = halfToFloat(loadHalf(block));
    for (std::size_t i = 0; i < 16; ++i) {
        // Each bit stays in a byte of its own, and is carried to its top.
        const auto apart = eightOf(std::to_integer<std::uint8_t>(block[2 + i])) & 0x8040201008040201U;
        const auto bits = (apart + eightOf(0x7f)) >> 7U & eightOf(1);
        storeEight(lessOne(2 * bits), out.codes + 8 * i);
    }
}

void unpackQ2_0(const std::byte* block, CodedBlock& out)
{
    out.scales[0] = halfToFloat(loadHalf(block));
    for (std::size_t i = 0; i < 8; ++i) {
        std::uint64_t apart = 0;
        for (std::size_t j = 0; j < 2; ++j) {
            const auto four = std::to_integer<std::uint64_t>(block[2 + 2 * i + j]);
            apart |= (four | four << 6U | four << 12U | four << 18U) << 32 * j;
        }
        storeEight(lessOne(apart & eightOf(3)), out.codes + 8 * i);
    }
}

void unpackTq2_0(const std::byte* block, CodedBlock& out)
{
    out.scales[0] = halfToFloat(loadHalf(block + 64));
    for (std::size_t i = 0; i < 64; i += 8) {
        const auto bytes = loadEight(block + i);
        for (std::size_t plane = 0; plane < 4; ++plane)
            storeEight(lessOne(bytes >> 2 * plane & eightOf(3)), out.codes + i / 32 * 128 + 32 * plane + i % 32);
    }
}

/// The digit after `power`, a power of three, of eight numbers to the base of three. A byte is the fraction of 256 that
/// its number is of 3⁵: times three, the digit stands above it. Every other byte has room for that.
std::uint64_t ternaryDigits(std::uint64_t bytes, std::uint64_t power)
{
    constexpr std::uint64_t kEven = 0x00ff00ff00ff00ffU;
    const auto digits = [power](std::uint64_t apart) { return ((apart * power & kEven) * 3) >> 8U & kEven; };
    return lessOne(digits(bytes & kEven) | digits(bytes >> 8U & kEven) << 8U);
}

/// Five digits in a byte, each for `count` weights side by side.
void unpackTernary(const std::byte* at, std::size_t count, std::int8_t* codes)
{
    std::uint64_t power = 1;
    for (std::size_t digit = 0; digit < 5; ++digit, power *= 3)
        for (std::size_t i = 0; i < count; i += 8)
            storeEight(ternaryDigits(loadEight(at + i), power), codes + digit * count + i);
}

void unpackTq1_0(const std::byte* block, CodedBlock& out)
{
    out.scales[0] = halfToFloat(loadHalf(block + 52));
    unpackTernary(block, 32, out.codes);
    unpackTernary(block + 32, 16, out.codes + 160);
    // The last four bytes hold four digits each; beside them lies the scale.
    std::uint64_t power = 1;
    for (std::size_t digit = 0; digit < 4; ++digit, power *= 3) {
        const auto codes = ternaryDigits(loadEight(block + 46) >> 16U, power);
        std::memcpy(out.codes + 240 + 4 * digit, &codes, 4);
    }
}

}  // namespace

CodedFormat plainFormat(GgmlBlock block)
{
    switch (block) {
    case GgmlBlock::Q8_1: return {unpackQ8_1, 32};
    case GgmlBlock::Q8_K: return {unpackQ8_K, 256};
    case GgmlBlock::Mxfp4: return {unpackMxfp4, 32};
    case GgmlBlock::Nvfp4: return {unpackNvfp4, 16};
    case GgmlBlock::Q1_0: return {unpackQ1_0, 128};
    case GgmlBlock::Q2_0: return {unpackQ2_0, 64};
    case GgmlBlock::Tq1_0: return {unpackTq1_0, 256};
    default: assert(block == GgmlBlock::Tq2_0); return {unpackTq2_0, 256};
    }
}

}  // namespace quantloupe::kernels::ggml
