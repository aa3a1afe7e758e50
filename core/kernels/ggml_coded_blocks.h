// SPDX-License-Identifier: GPL-3.0-or-later
// ggml's formats whose weights are small whole numbers times a scale, for those that are only read here: what a block
// says, taken apart.
#pragma once

#include "core/kernels/ggml_blocks.h"

#include <cstddef>
#include <cstdint>

namespace quantloupe::kernels::ggml {

/// One block: weight i is codes[i] · scales[i / runLength].
struct CodedBlock {
    std::int8_t codes[256];
    float scales[16];
};

struct CodedFormat {
    void (*unpack)(const std::byte* block, CodedBlock& out);
    std::size_t runLength;  ///< weights that share a scale: 16 or a multiple
};

/// Q8_1, Q8_K, MXFP4, NVFP4, Q1_0, Q2_0, TQ1_0, TQ2_0. @pre block is one of them
CodedFormat plainFormat(GgmlBlock block);

/// IQ1_S … IQ3_S. @pre block is one of them
CodedFormat gridFormat(GgmlBlock block);

inline CodedFormat codedFormat(GgmlBlock block)
{
    return block >= GgmlBlock::Iq1S ? gridFormat(block) : plainFormat(block);
}

}  // namespace quantloupe::kernels::ggml
