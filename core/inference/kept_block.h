// SPDX-License-Identifier: GPL-3.0-or-later
// A block between its way forward and its way back. For use inside this room.
#pragma once

#include "core/inference/block_backward.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace quantloupe {

/// What a pass over a block takes at most, in floats: all that flows through its layers, there and back, and the
/// weights.
struct BlockFloats {
    std::uint64_t perToken = 0, weights = 0;
};
BlockFloats blockFloats(const Decoder& decoder, const DecoderBlock& block, bool replacesInputs);

/// Several sequences that went forward through a block and keep what their way back needs: nothing is computed a second
/// time. Stays where it is, its passes point into it.
class KeptBlock
{
public:
    /// Takes `states` through the block, sequence by sequence; `inputs` are a copy of them that outlives this. In the
    /// caller's task arena, with the bits of runBlock(). Errors: as that. @pre as BlockPass
    static Result<std::unique_ptr<KeptBlock>> run(const BlockRun& run, std::size_t block, const HiddenStates& inputs,
        HiddenStates& states, const ProgressShare& progress);
    /// Bytes that it takes at most.
    static std::uint64_t bytes(
        const Decoder& decoder, std::size_t block, std::span<const Sequence> sequences, bool replacesInputs);
    KeptBlock(const KeptBlock&) = delete;
    KeptBlock& operator=(const KeptBlock&) = delete;
    ~KeptBlock() = default;

    /// As BlockPass::runBackward(), once for each sequence. May be called by several threads at once.
    SequenceGradients runBackward(std::size_t sequence, kernels::MutableMatrix gradient);

private:
    explicit KeptBlock(const BlockRun& run);

    Replacers m_replacers;
    InputReplacers m_inputReplacers;
    LayerObserver m_nobody {};
    BlockRun m_run;
    LoadedBlock m_loaded {};
    std::vector<std::unique_ptr<BlockPass>> m_sequences {};
};

}  // namespace quantloupe
