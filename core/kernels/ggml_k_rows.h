// SPDX-License-Identifier: GPL-3.0-or-later
// The encoders behind ggmlEncodeK().
#pragma once

#include "core/kernels/ggml_k_blocks.h"
#include "core/kernels/ggml_k_layout.h"

namespace quantloupe::kernels {

/// Rows as they are quantized: one super-block after the other, whatever rows they come from.
struct KRows {
    const float* weights;
    const float* importance;  ///< of one row, or null
    std::size_t blocks, blocksPerRow;
    std::uint8_t* out;
};

/// One super-block by the reference: where sums overflowed, what they left is no number, and vectors take another for
/// the largest than a comparison does. @pre importance
inline void encodeByReference(GgmlBlock block, const KRows& rows, std::size_t index)
{
    const std::size_t bytes = ggmlBlockSize(block).bytes;
    auto* out = reinterpret_cast<std::byte*>(rows.out + index * bytes);
    ggmlEncodeKReference(block, {rows.weights + index * ggml::kSuperBlock, ggml::kSuperBlock}, ggml::kSuperBlock,
        {rows.importance + index % rows.blocksPerRow * ggml::kSuperBlock, ggml::kSuperBlock}, {out, bytes});
}

/// Q2_K, Q4_K, Q5_K.
void encodeAffineK(GgmlBlock block, const KRows& rows);

/// Q3_K, Q6_K.
void encodeSignedK(GgmlBlock block, const KRows& rows);

}  // namespace quantloupe::kernels
