// SPDX-License-Identifier: GPL-3.0-or-later
// The backward pass of a decoder. Source: Rumelhart, Hinton & Williams, "Learning representations by back-propagating
// errors" (1986); recomputation after Chen et al., "Training deep nets with sublinear memory cost" (2016).
#pragma once

#include "core/base/progress_share.h"
#include "core/inference/forward.h"
#include "core/inference/gradients.h"
#include "core/inference/text_windows.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Whose logits are worked on together.
constexpr std::size_t predictionsPerTile = 64;

/// Logits of some predictions of one window, [predictions × vocabulary].
struct LogitTile {
    std::size_t window = 0;         ///< index into WindowedText::windows
    std::size_t firstPosition = 0;  ///< of the token that the first row follows
    kernels::MutableMatrix values {};
};

/// Turns the logits of each row into the gradient of its loss by them, in place, and returns the sum of the losses.
/// Called by several threads at once.
using LossFunction = std::function<double(const LogitTile& logits)>;

/// −log p of the text's own next token, in nats, each prediction's times `scale`.
LossFunction crossEntropyLoss(const WindowedText& text, double scale = 1.0);

/// What a block gave, or the output head.
struct PartGradients {
    std::optional<std::size_t> block {};        ///< nothing: the output head and its norm
    std::span<SequenceGradients> sequences {};  ///< one per window of the pass, in their order
};

/// Called on the calling thread (in the task arena) as each part is done: the head, then the last block, … the first.
/// What it is given lives as long as the call.
using GradientSink = std::function<Result<void>(const PartGradients& part)>;

struct BackwardHooks {
    WeightHook weights {};  ///< as in ForwardHooks, none of them in integers: gradients are by the replaced weights
    /// As in ForwardHooks, not of the output head. The straight-through estimator (Bengio, Léonard & Courville 2013):
    /// layers multiply the replaced inputs, back and forth the same, and what comes back by them goes on as if by the
    /// inputs themselves, but for what InputReplacer::clip says.
    InputHook inputs {};
    LossFunction loss {};
    GradientSink sink {};
    bool head =
        false;  ///< whether what flows through the output head's layer is kept: vocabulary floats per prediction
    /// Bytes beyond backwardBytes() for what flows through blocks: of as many as that is enough for, nothing is
    /// computed a second time on the way back. The bits are the same.
    std::uint64_t spareBytes = 0;
};

struct BackwardResult {
    double loss = 0.0;            ///< of all predictions
    std::size_t predictions = 0;  ///< that the windows score
    HiddenStates embedded {};     ///< ∂loss by the stream behind the embedding
};

/// Windows [first, last) once forward and once back. In memory at a time are what goes into each block, and of one
/// block the float32 weights and what flows through its layers; the rest is computed a second time, with the same bits,
/// where there are no bytes to spare.
/// Sequences go side by side: the bits do not depend on the number of threads. Runs in the caller's task arena.
/// Errors: Cancelled, Unsupported (functions or layers in integers, replaced inputs of the head, ranges of calls that
/// several windows share), Malformed (activations, logits or gradients that overflow), those of the hooks, of
/// requireReadable() and of reading weights.
Result<BackwardResult> runBackward(const Decoder& decoder, const WindowedText& text, std::size_t first,
    std::size_t last, const BackwardHooks& hooks, std::stop_token stop, const ProgressShare& progress);

/// What the output head is multiplied with at every scored position of windows [first, last), [predictions × hidden].
/// Errors: as runBackward().
Result<ZeroedArray<float>> runForward(const Decoder& decoder, const WindowedText& text, std::size_t first,
    std::size_t last, const WeightHook& weights, const InputHook& inputs, std::stop_token stop);

/// Bytes that a pass over windows of so many tokens in all takes, at most `longest` of them in one window; `tiles`: of
/// logits at a time, one per thread.
std::uint64_t backwardBytes(const Decoder& decoder, std::uint64_t tokens, std::uint64_t longest, bool head,
    bool replacesInputs = false, std::uint64_t tiles = 1);

/// Adds ∂loss by a layer's weights, rows [firstRow, firstRow + sum.rows) of `layer`, over all its tokens: Σ g·xᵀ.
void addWeightGradient(const LayerGradient& gradient, std::size_t firstRow, kernels::MutableMatrix sum);

}  // namespace quantloupe
