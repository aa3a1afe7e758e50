// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/inference/divergence.h"
#include "core/inference/forward.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

namespace quantloupe {

struct EvaluationLimits {
    unsigned threads = 0;                             ///< 0: all the process may use
    std::uint64_t memory = std::uint64_t {4} << 30U;  ///< bytes for weights and activations
};

/// How far the residual stream behind a block is from that of the base: Σ base² and Σ (base − other)² over all tokens.
struct DepthError {
    double signal = 0.0, noise = 0.0;

    double sqnr() const;  ///< dB; infinite without noise
    bool operator==(const DepthError&) const = default;
};

/// What a text says about a model and, where it was changed, about what became of it.
struct Evaluation {
    std::size_t tokens = 0;  ///< of the text
    std::size_t windows = 0;
    std::size_t scored = 0;  ///< predictions that count
    Perplexity base {};
    std::optional<Perplexity> quantized {};
    std::optional<Divergence> divergence {};
    /// Where it was changed: behind the embedding, then behind each block. Error that enters at one layer is seen to
    /// grow or to die on its way.
    std::vector<DepthError> depth {};

    bool operator==(const Evaluation&) const = default;
};

/// What is known while an evaluation runs, between blocks and between batches: `windows` and `scored` count what went
/// through the whole model, whose figures are there once something did; `depth` ends with the last place passed.
using EvaluationWatcher = std::function<void(const Evaluation& soFar)>;

/// Reads the text once, block by block: the original model and, where hooks change something, the changed one go side
/// by side through each block, from the first replaced tensor on, or from the first block where the cache is replaced.
/// As many windows go together as the memory allows; each further batch reads the weights again. Logits are never kept.
/// The bits depend neither on the number of threads nor on the memory. A call is `windowsPerCall` windows.
/// `changed.beforeLayer` watches the changed model alone. Where the decoder computes functions in integers, the
/// original model does not, and is compared with. `watch` is called on one thread at a time. Errors: InvalidArgument
/// (no windows, the memory is too little for one call, those of requireReadable()), Cancelled, Malformed, those of the
/// hooks and of reading weights.
Result<Evaluation> evaluate(const Decoder& decoder, const WindowedText& text, const ForwardHooks& changed,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress, const EvaluationWatcher& watch = {});

}  // namespace quantloupe
