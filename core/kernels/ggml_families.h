// SPDX-License-Identifier: GPL-3.0-or-later
// The families behind ggml_blocks.h, each with its kernels and their scalar definitions. What the arguments mean is
// said there.
#pragma once

#include "core/kernels/ggml_blocks.h"

namespace quantloupe::kernels::ggml {

/// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
void legacyEncode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out);
/// @pre importance is not empty, and the block is not Q8_0
void legacyEncodeWeighted(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);
void legacyEncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);
void legacyDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void legacyDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void legacyCodes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out);

/// IQ4_NL, IQ4_XS.
void iq4Encode(GgmlBlock block, std::span<const float> rows, std::size_t columns, std::span<const float> importance,
    std::span<std::byte> out);
void iq4EncodeReference(GgmlBlock block, std::span<const float> rows, std::size_t columns,
    std::span<const float> importance, std::span<std::byte> out);
void iq4Decode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void iq4DecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void iq4Codes(GgmlBlock block, std::span<const std::byte> blocks, std::span<std::uint32_t> out);

/// The formats that are only read.
void codedDecode(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);
void codedDecodeReference(GgmlBlock block, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace quantloupe::kernels::ggml
