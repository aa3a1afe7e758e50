// SPDX-License-Identifier: GPL-3.0-or-later
// One block of a decoder, backwards. For use inside this room.
#pragma once

#include "core/inference/gradients.h"
#include "core/inference/loaded_block.h"

#include <memory>

namespace quantloupe {

struct LoadedBlock {
    LoadedAttention attention {};
    LoadedFeedForward feedForward {};
};

/// All of its weights in float32, those of all experts too. Errors: those of loadLayers().
Result<LoadedBlock> loadBlock(const BlockRun& run, const DecoderBlock& parts);

/// One sequence on its way through a block and back, of which a wide product may be cut for others.
class BlockPass
{
public:
    /// What the block makes of `input` [tokens × hidden], into `result`, with the bits of runBlock(). `keepsWeights`:
    /// those of attention too, else the way back finds them anew. What is given outlives the pass, `result` need not.
    /// @pre no integer layers or functions, no replaced cache, no divisors; the sequence is a call of its own where a
    /// replacer of inputs must know the range of one
    BlockPass(const BlockRun& run, const DecoderBlock& parts, const LoadedBlock& loaded, kernels::ConstMatrix input,
        kernels::MutableMatrix result, bool keepsWeights);
    BlockPass(BlockPass&&) noexcept;
    BlockPass& operator=(BlockPass&&) noexcept;
    ~BlockPass();

    /// Turns `gradient`, ∂loss by what the block gave, into that by its input, in place. At most once.
    SequenceGradients runBackward(kernels::MutableMatrix gradient);

private:
    struct Steps;
    std::unique_ptr<Steps> m_steps;
};

}  // namespace quantloupe
