// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/inference/divergence.h"
#include "core/inference/evaluate.h"
#include "core/inference/forward.h"

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

namespace quantloupe {

/// A model that differs from the original in a few tensors: one layer quantized, say.
struct ModelVariant {
    std::vector<std::size_t> tensors {};  ///< the hooks replace nothing else
    ForwardHooks hooks {};                ///< without a cache
};

/// A variant's divergence from the original, with how well the text tells it.
struct VariantDivergence {
    Divergence divergence {};
    /// Of divergence.mean, from how far windows differ: predictions within one are not independent. 0: one window.
    double standardError = 0.0;
    bool operator==(const VariantDivergence&) const = default;
};

/// Called on the calling thread as each variant is finished, in their order. An error ends the run.
using VariantSink = std::function<Result<void>(std::size_t variant, const VariantDivergence& divergence)>;

/// Runs the original once and keeps its residual stream in front of every block; each variant then goes on from the
/// block of its first tensor. The figures are those of evaluate(), and as little dependent on threads.
/// Errors: InvalidArgument (no windows, the memory is too little for the streams: how many tokens it is enough for),
/// Cancelled, Malformed, those of the hooks and of reading weights.
Result<void> measureVariants(const Decoder& decoder, const WindowedText& text, std::span<const ModelVariant> variants,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress, const VariantSink& sink);

/// The same for variants of which each is made when the one before it is known. Borrows decoder, text and progress.
class VariantMeasurer
{
public:
    /// Runs the original. `expected`: variants that will be measured, for the progress. Errors: as above.
    static Result<VariantMeasurer> begin(const Decoder& decoder, const WindowedText& text, std::size_t expected,
        const EvaluationLimits& limits, std::stop_token stop, Progress& progress);
    Result<VariantDivergence> measure(const ModelVariant& variant) const { return m_measure(variant); }

private:
    using Measure = std::function<Result<VariantDivergence>(const ModelVariant& variant)>;
    explicit VariantMeasurer(Measure measure)
        : m_measure(std::move(measure))
    {
    }

    Measure m_measure;  ///< holds the original's residual streams
};

}  // namespace quantloupe
