// SPDX-License-Identifier: GPL-3.0-or-later
// The block formats of ggml, byte for byte, from floats to the bytes of a file and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Those up to Q6_K are written and read, the rest is only read.
enum class GgmlBlock : std::uint8_t {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Iq4Nl,
    Iq4Xs,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_1,
    Q8_K,
    Mxfp4,
    Nvfp4,
    Q1_0,
    Q2_0,
    Tq1_0,
    Tq2_0,
    Iq1S,
    Iq1M,
    Iq2Xxs,
    Iq2Xs,
    Iq2S,
    Iq3Xxs,
    Iq3S,
};

constexpr bool ggmlWrites(GgmlBlock block)
{
    return block <= GgmlBlock::Q6_K;
}

struct GgmlBlockSize {
    std::size_t elements, bytes;
};

/// How many weights one block holds, and in how many bytes.
constexpr GgmlBlockSize ggmlBlockSize(GgmlBlock block)
{
    switch (block) {
    case GgmlBlock::Q4_0: return {32, 18};
    case GgmlBlock::Q4_1: return {32, 20};
    case GgmlBlock::Q5_0: return {32, 22};
    case GgmlBlock::Q5_1: return {32, 24};
    case GgmlBlock::Q8_0: return {32, 34};
    case GgmlBlock::Iq4Nl: return {32, 18};
    case GgmlBlock::Iq4Xs: return {256, 136};
    case GgmlBlock::Q2_K: return {256, 84};
    case GgmlBlock::Q3_K: return {256, 110};
    case GgmlBlock::Q4_K: return {256, 144};
    case GgmlBlock::Q5_K: return {256, 176};
    case GgmlBlock::Q6_K: return {256, 210};
    case GgmlBlock::Q8_1: return {32, 36};
    case GgmlBlock::Q8_K: return {256, 292};
    case GgmlBlock::Mxfp4: return {32, 17};
    case GgmlBlock::Nvfp4: return {64, 36};
    case GgmlBlock::Q1_0: return {128, 18};
    case GgmlBlock::Q2_0: return {64, 18};
    case GgmlBlock::Tq1_0: return {256, 54};
    case GgmlBlock::Tq2_0: return {256, 66};
    case GgmlBlock::Iq1S: return {256, 50};
    case GgmlBlock::Iq1M: return {256, 56};
    case GgmlBlock::Iq2Xxs: return {256, 66};
    case GgmlBlock::Iq2Xs: return {256, 74};
    case GgmlBlock::Iq2S: return {256, 82};
    case GgmlBlock::Iq3Xxs: return {256, 98};
    case GgmlBlock::Iq3S: return {256, 110};
    }
    return {};
}

/// Quantizes whole rows as ggml does where it is compiled without fused multiply-add; every target writes the bytes of
/// the reference. Importance: empty, or one value for each column: the weighted search then (Q8_0 looks at none).
/// Where ggml's bytes are undefined, ours are not: NaN and infinities count as 0, weights beyond ±2³⁰ as ±2³⁰ (their
/// scale is infinite in every format), a scale beyond binary16 becomes 65,504, one without a finite reciprocal codes
/// its weights as 0. What is decoded is always finite.
/// @pre ggmlWrites(block); columns is a multiple of the block's elements; rows holds whole rows; importance ≥ 0,
/// finite; out holds rows.size() / elements · bytes.
void ggmlEncode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out);
void ggmlEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);

/// What ggml makes of the bytes where it is compiled without fused multiply-add, bit for bit (of NaN, payloads may
/// differ); any bytes do. @pre whole blocks; out holds their elements
void ggmlDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void ggmlDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);

/// The code of each weight as it is stored, 0 … 2^bits − 1 (Q8_0: two's complement, so −1 is 255).
/// @pre ggmlWrites(block)
void ggmlCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out);

}  // namespace quantloupe::kernels
