// SPDX-License-Identifier: GPL-3.0-or-later
// The two ends of a forward pass, and the whole of it for short texts.
#pragma once

#include "core/inference/block.h"
#include "core/inference/text_windows.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Whether the model can read the text at all. Errors: InvalidArgument (a token beyond the vocabulary, a window longer
/// than the table of positions).
Result<void> requireReadable(const Decoder& decoder, const WindowedText& text);

/// The embeddings of windows [first, last), scaled and with positions added where the architecture does so.
/// Errors: Cancelled, Malformed (weights that are not finite), those of holdReadable().
Result<HiddenStates> embed(const Decoder& decoder, const WindowedText& text, std::size_t first, std::size_t last,
    const RowReplacer& replacer, std::stop_token stop);

/// Rows of the residual stream behind the last norm, ready for the output head: [rows × hidden]. `replacer`: of the
/// head's inputs, where they are replaced.
Result<ZeroedArray<float>> normOutputs(const Decoder& decoder, const HiddenStates& states,
    std::span<const std::size_t> rows, std::stop_token stop, const InputReplacer* replacer = nullptr);

/// Keeps what a block reads in reach while several streams go through it, and lets it go afterwards.
class HeldBlock
{
public:
    static Result<HeldBlock> hold(const Decoder& decoder, std::size_t block, std::stop_token stop);
    HeldBlock(HeldBlock&&) = default;
    HeldBlock& operator=(HeldBlock&&) = delete;
    ~HeldBlock();

    const std::vector<std::size_t>& tensors() const { return m_tensors; }
    std::uint64_t storedBytes() const;

private:
    HeldBlock() = default;
    const Model* m_model = nullptr;
    std::vector<std::size_t> m_tensors;
    std::vector<HeldBytes> m_held;
};

/// How a forward pass is watched and changed.
struct ForwardHooks {
    WeightHook weights {};
    LayerObserver beforeLayer {};  ///< sees inputs as they are multiplied: replaced, where they are
    LayerObserver afterLayer {};   ///< sees what linear layers give, before anything is done to it
    InputHook inputs {};
    CacheHook cache {};
    NormDivisors divisors {};  ///< of the norms before attention and feed-forward

    /// Whether anything may come out differently.
    bool changes() const { return weights || inputs || cache || !divisors.empty(); }
};

/// What hooks say of some tensors.
struct Replaced {
    Replacers weights {};
    InputReplacers inputs {};

    bool empty() const { return weights.empty() && inputs.empty(); }
    const RowReplacer& weightsOf(std::size_t tensor) const;   ///< empty where they stay
    const InputReplacer* inputsOf(std::size_t tensor) const;  ///< likewise null
};
Result<Replaced> askFor(const ForwardHooks& hooks, std::span<const std::size_t> tensors);
/// An empty replacer where the hook is.
Result<CacheReplacer> askFor(const CacheHook& hook, const Decoder& decoder);

/// Logits of every position of one sequence, [tokens × vocabulary]: for short texts. Runs in the caller's task arena.
/// Errors: those of requireReadable(), embed() and runBlock().
Result<std::vector<float>> computeLogits(
    const Decoder& decoder, std::vector<std::uint32_t> tokens, const ForwardHooks& hooks, std::stop_token stop);

}  // namespace quantloupe
