// SPDX-License-Identifier: GPL-3.0-or-later
// Formats whose codes choose vectors of levels from tables. Source: interop notes on ggml's blocks, section 9.
#include "core/kernels/ggml_byte_lanes.h"
#include "core/kernels/ggml_coded_blocks.h"
#include "core/kernels/ggml_grids.h"
#include "core/kernels/ggml_layouts.h"

#include <bit>
#include <cassert>

namespace quantloupe::kernels::ggml {
namespace {

/// Bytes of 0xff where a bit is set.
constexpr auto kSignMasks = [] {
    std::array<std::uint64_t, 256> masks {};
    for (unsigned bits = 0; bits < 256; ++bits)
        for (unsigned j = 0; j < 8; ++j)
            masks[bits] |= (bits >> j & 1U) != 0 ? std::uint64_t {0xff} << 8U * j : 0U;
    return masks;
}();

/// The same for seven bits, after which an eighth makes their number even.
constexpr auto kEvenSignMasks = [] {
    std::array<std::uint64_t, 128> masks {};
    for (unsigned bits = 0; bits < 128; ++bits)
        masks[bits] = kSignMasks[bits | (static_cast<unsigned>(std::popcount(bits)) & 1U) << 7U];
    return masks;
}();

/// Turns the bytes under the mask. No level is 0, so that none carries into its neighbour.
std::uint64_t turned(std::uint64_t levels, std::uint64_t mask)
{
    return (levels ^ mask) + (mask & eightOf(1));
}

unsigned byteAt(const std::byte* at)
{
    return std::to_integer<unsigned>(*at);
}

std::uint32_t loadWord(const std::byte* at)
{
    return loadHalf(at) | static_cast<std::uint32_t>(loadHalf(at + 2)) << 16U;
}

void unpackIq2Xxs(const std::byte* block, CodedBlock& out)
{
    const float d = halfToFloat(loadHalf(block));
    for (std::size_t group = 0; group < 8; ++group) {
        const std::byte* at = block + 2 + 8 * group;
        const auto signs = loadWord(at + 4);
        out.scales[group] = d * (0.5F + static_cast<float>(signs >> 28U)) * 0.25F;
        for (std::size_t l = 0; l < 4; ++l)
            storeEight(turned(kIq2XxsGrid[byteAt(at + l)], kEvenSignMasks[signs >> 7 * l & 127U]),
                out.codes + 32 * group + 8 * l);
    }
}

/// Sixteen scales of four bits, those of IQ2_XS and IQ2_S.
void unpackHalfSteps(float d, const std::byte* at, float* scales)
{
    for (std::size_t run = 0; run < 16; ++run)
        scales[run] = d * (0.5F + static_cast<float>(byteAt(at + run / 2) >> 4 * (run % 2) & 0xfU)) * 0.25F;
}

void unpackIq2Xs(const std::byte* block, CodedBlock& out)
{
    unpackHalfSteps(halfToFloat(loadHalf(block)), block + 66, out.scales);
    for (std::size_t i = 0; i < 32; ++i) {
        const unsigned code = loadHalf(block + 2 + 2 * i);
        storeEight(turned(kIq2XsGrid[code & 511U], kEvenSignMasks[code >> 9U]), out.codes + 8 * i);
    }
}

void unpackIq2S(const std::byte* block, CodedBlock& out)
{
    unpackHalfSteps(halfToFloat(loadHalf(block)), block + 74, out.scales);
    for (std::size_t i = 0; i < 32; ++i) {
        const unsigned high = byteAt(block + 66 + i / 4) >> 2 * (i % 4) & 3U;
        storeEight(turned(kIq2SGrid[byteAt(block + 2 + i) | high << 8U], kSignMasks[byteAt(block + 34 + i)]),
            out.codes + 8 * i);
    }
}

void unpackIq3Xxs(const std::byte* block, CodedBlock& out)
{
    const float d = halfToFloat(loadHalf(block));
    for (std::size_t group = 0; group < 8; ++group) {
        const auto signs = loadWord(block + 66 + 4 * group);
        out.scales[group] = d * (0.5F + static_cast<float>(signs >> 28U)) * 0.5F;
        for (std::size_t l = 0; l < 4; ++l) {
            const std::byte* at = block + 2 + 8 * group + 2 * l;
            const auto levels = kIq3XxsGrid[byteAt(at)] | kIq3XxsGrid[byteAt(at + 1)] << 32U;
            storeEight(turned(levels, kEvenSignMasks[signs >> 7 * l & 127U]), out.codes + 32 * group + 8 * l);
        }
    }
}

void unpackIq3S(const std::byte* block, CodedBlock& out)
{
    const float d = halfToFloat(loadHalf(block));
    for (std::size_t group = 0; group < 8; ++group) {
        const unsigned high = byteAt(block + 66 + group);
        out.scales[group] =
            d * static_cast<float>(1U + 2U * (byteAt(block + 106 + group / 2) >> 4 * (group % 2) & 0xfU));
        for (std::size_t l = 0; l < 4; ++l) {
            const std::byte* at = block + 2 + 8 * group + 2 * l;
            const auto first = kIq3SGrid[byteAt(at) | (high >> 2 * l & 1U) << 8U];
            const auto second = kIq3SGrid[byteAt(at + 1) | (high >> (2 * l + 1) & 1U) << 8U];
            storeEight(turned(first | second << 32U, kSignMasks[byteAt(block + 74 + 4 * group + l)]),
                out.codes + 32 * group + 8 * l);
        }
    }
}

/// Levels and offset are in eighths: so is the scale. Both steps are exact.
constexpr std::uint64_t kUp = eightOf(1), kDown = eightOf(0xff);

void unpackIq1S(const std::byte* block, CodedBlock& out)
{
    const float d = halfToFloat(loadHalf(block));
    for (std::size_t group = 0; group < 8; ++group) {
        const unsigned high = loadHalf(block + 34 + 2 * group);
        out.scales[group] = d * static_cast<float>(2U * (high >> 12U & 7U) + 1U) * 0.125F;
        for (std::size_t l = 0; l < 4; ++l) {
            const auto index = byteAt(block + 2 + 4 * group + l) | (high >> 3 * l & 7U) << 8U;
            storeEight(
                sumOfEight(kIq1Grid[index], (high & 0x8000U) != 0 ? kDown : kUp), out.codes + 32 * group + 8 * l);
        }
    }
}

void unpackIq1M(const std::byte* block, CodedBlock& out)
{
    unsigned scale = 0;  // its four digits lie on top of the small scales
    for (std::size_t i = 0; i < 4; ++i)
        scale |= (loadHalf(block + 48 + 2 * i) >> 12U & 0xfU) << 4 * i;
    const float d = halfToFloat(static_cast<std::uint16_t>(scale));
    for (std::size_t run = 0; run < 16; ++run) {
        const unsigned steps = loadHalf(block + 48 + run / 4 * 2) >> 3 * (run % 4) & 7U;
        const unsigned high = byteAt(block + 32 + run);
        out.scales[run] = d * static_cast<float>(2U * steps + 1U) * 0.125F;
        for (std::size_t l = 0; l < 2; ++l) {
            const unsigned own = high >> 4 * l & 0xfU;
            const auto index = byteAt(block + 2 * run + l) | (own & 7U) << 8U;
            storeEight(sumOfEight(kIq1Grid[index], (own & 8U) != 0 ? kDown : kUp), out.codes + 16 * run + 8 * l);
        }
    }
}

}  // namespace

CodedFormat gridFormat(GgmlBlock block)
{
    switch (block) {
    case GgmlBlock::Iq1S: return {unpackIq1S, 32};
    case GgmlBlock::Iq1M: return {unpackIq1M, 16};
    case GgmlBlock::Iq2Xxs: return {unpackIq2Xxs, 32};
    case GgmlBlock::Iq2Xs: return {unpackIq2Xs, 16};
    case GgmlBlock::Iq2S: return {unpackIq2S, 16};
    case GgmlBlock::Iq3Xxs: return {unpackIq3Xxs, 32};
    default: assert(block == GgmlBlock::Iq3S); return {unpackIq3S, 32};
    }
}

}  // namespace quantloupe::kernels::ggml
