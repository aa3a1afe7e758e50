// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/ggml_blocks.h"
#include "core/tensor/dtype.h"

#include <array>
#include <cstddef>

namespace quantloupe {

/// What decodes a block type. @pre isBlockType(type)
constexpr kernels::GgmlBlock ggmlBlockOf(DType type)
{
    using Block = kernels::GgmlBlock;
    constexpr std::array kBlocks {Block::Q4_0, Block::Q4_1, Block::Q5_0, Block::Q5_1, Block::Q8_0, Block::Q8_1,
        Block::Q2_K, Block::Q3_K, Block::Q4_K, Block::Q5_K, Block::Q6_K, Block::Q8_K, Block::Iq1S, Block::Iq1M,
        Block::Iq2Xxs, Block::Iq2Xs, Block::Iq2S, Block::Iq3Xxs, Block::Iq3S, Block::Iq4Nl, Block::Iq4Xs, Block::Tq1_0,
        Block::Tq2_0, Block::Mxfp4, Block::Nvfp4, Block::Q1_0, Block::Q2_0};
    static_assert(kBlocks.size() == static_cast<std::size_t>(DType::Q2_0) - static_cast<std::size_t>(DType::Q4_0) + 1);
    return kBlocks[static_cast<std::size_t>(type) - static_cast<std::size_t>(DType::Q4_0)];
}

}  // namespace quantloupe
