// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/inference/divergence.h"
#include "core/inference/forward.h"

#include <cstdint>
#include <optional>
#include <stop_token>

namespace quantloupe {

struct EvaluationLimits {
    unsigned threads = 0;                             ///< 0: all the process may use
    std::uint64_t memory = std::uint64_t {4} << 30U;  ///< bytes for weights and activations
};

/// What a text says about a model and, where weights were replaced, about what became of it.
struct Evaluation {
    std::size_t tokens = 0;  ///< of the text
    std::size_t windows = 0;
    std::size_t scored = 0;  ///< predictions that count
    Perplexity base {};
    std::optional<Perplexity> quantized {};
    std::optional<Divergence> divergence {};

    bool operator==(const Evaluation&) const = default;
};

/// Reads the text once, block by block: the original model and, where `quantized` is given, the one with replaced
/// weights go side by side through each block, from the first replaced weight on. As many windows go together as the
/// memory allows; each further batch reads the weights again. Logits are never kept. The bits depend neither on the
/// number of threads nor on the memory.
/// Where the decoder computes functions in integers, the original model does not, and is compared with.
/// Errors: InvalidArgument (no windows, the memory is too little for one, those of requireReadable()), Cancelled,
/// Malformed, those of the hook and of reading weights.
Result<Evaluation> evaluate(const Decoder& decoder, const WindowedText& text, const WeightHook& quantized,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress);

}  // namespace quantloupe
