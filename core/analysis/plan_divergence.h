// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/inference/variant_divergence.h"
#include "core/recipes/plan.h"

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <utility>

namespace quantloupe {

/// Fingerprint of the inputs that algorithms of a plan go by; 0: by none. What was measured of a plan holds where this
/// is the same.
std::uint64_t calibrationUsed(const Model& model, const Plan& plan);

/// What plans for a whole model do to the predictions of a text, by their weights alone: that is what sums of layers'
/// divergences predict. Inputs of layers and the cache stay floating. The original runs once, plans come one after
/// another. Borrows decoder, text and progress.
class PlanDivergence
{
public:
    /// `expected`: plans that will be measured, for the progress. Errors: those of measureVariants().
    static Result<PlanDivergence> begin(const Decoder& decoder, const WindowedText& text, std::size_t expected,
        const EvaluationLimits& limits, std::stop_token stop, Progress& progress);

    /// Errors: those of quantizedWeights() and of measureVariants().
    Result<VariantDivergence> measure(const Plan& plan);

private:
    PlanDivergence(VariantMeasurer measurer, const Model& model, std::stop_token stop)
        : m_measurer(std::move(measurer))
        , m_model(&model)
        , m_stop(std::move(stop))
    {
    }

    VariantMeasurer m_measurer;
    const Model* m_model;
    std::stop_token m_stop;
};

}  // namespace quantloupe
