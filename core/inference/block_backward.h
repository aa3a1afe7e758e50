// SPDX-License-Identifier: GPL-3.0-or-later
// One block of a decoder, backwards. For use inside this room.
#pragma once

#include "core/inference/gradients.h"
#include "core/inference/loaded_block.h"

namespace quantloupe {

struct LoadedBlock {
    LoadedAttention attention {};
    LoadedFeedForward feedForward {};
};

/// All of its weights in float32, those of all experts too. Errors: those of loadLayers().
Result<LoadedBlock> loadBlock(const BlockRun& run, const DecoderBlock& parts);

/// Takes one sequence back through a block, of which a wide product may be cut for others: computes what happened to
/// `input` [tokens × hidden] a second time, with the same bits, and turns `gradient`, ∂loss by what the block gave,
/// into that by `input`, in place. @pre no integer layers or functions, no replaced cache, no divisors; the sequence is
/// a call of its own where a replacer of inputs must know the range of one
SequenceGradients runBlockBackward(const BlockRun& run, const DecoderBlock& parts, const LoadedBlock& loaded,
    kernels::ConstMatrix input, kernels::MutableMatrix gradient);

}  // namespace quantloupe
