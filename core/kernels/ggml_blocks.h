// SPDX-License-Identifier: GPL-3.0-or-later
// The block formats of ggml, byte for byte, from floats to the bytes of a file and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

enum class GgmlBlock : std::uint8_t { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Iq4Nl, Iq4Xs, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };

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
    }
    return {};
}

/// Quantizes whole rows as ggml does where it is compiled without fused multiply-add; every target writes the bytes of
/// the reference. Importance: empty, or one value for each column: the weighted search then (Q8_0 looks at none).
/// Where ggml's bytes are undefined, ours are not: NaN and infinities count as 0, weights beyond ±2³⁰ as ±2³⁰ (their
/// scale is infinite in every format), a scale beyond binary16 becomes 65,504, one without a finite reciprocal codes
/// its weights as 0. What is decoded is always finite.
/// @pre columns is a multiple of the block's elements; rows holds whole rows; importance ≥ 0, finite;
/// out holds rows.size() / elements · bytes.
void ggmlEncode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out);
void ggmlEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);

/// @pre whole blocks; out holds their elements
void ggmlDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void ggmlDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);

/// The code of each weight as it is stored, 0 … 2^bits − 1 (Q8_0: two's complement, so −1 is 255).
void ggmlCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out);

}  // namespace quantloupe::kernels
