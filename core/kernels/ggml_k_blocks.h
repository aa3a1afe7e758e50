// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's k-quants: super-blocks of 256 weights whose 8 or 16 groups have small scales of their own.
#pragma once

#include "core/kernels/ggml_blocks.h"

namespace quantloupe::kernels {

/// Is this one of Q2_K … Q6_K, which the functions below serve?
constexpr bool isKBlock(GgmlBlock block)
{
    return block >= GgmlBlock::Q2_K && block <= GgmlBlock::Q6_K;
}

/// As ggmlEncode(), for Q2_K … Q6_K: the same bytes on every target, and those of ggml compiled without fused
/// multiply-add. @pre isKBlock(block); columns is a multiple of 256; rows holds whole rows; importance is empty or
/// holds one value per column, ≥ 0, finite; out holds ggmlBlockSize(block).bytes for each 256 weights.
void ggmlEncodeK(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out);
void ggmlEncodeKReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);

/// @pre isKBlock(block); whole blocks; out holds 256 floats for each
void ggmlDecodeK(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void ggmlDecodeKReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);

/// The code of each weight as it is stored: 0 … 3, 7, 15, 31 or 63. @pre as ggmlDecodeK()
void ggmlCodesK(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out);

}  // namespace quantloupe::kernels
