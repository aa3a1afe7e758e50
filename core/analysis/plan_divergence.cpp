// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/plan_divergence.h"

#include "core/analysis/quantized_weights.h"

namespace quantloupe {

Result<PlanDivergence> PlanDivergence::begin(const Decoder& decoder, const WindowedText& text, std::size_t expected,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress)
{
    auto measurer = VariantMeasurer::begin(decoder, text, expected, limits, stop, progress);
    if (!measurer)
        return tl::unexpected(measurer.error());
    return PlanDivergence(std::move(*measurer), *decoder.model, std::move(stop));
}

Result<VariantDivergence> PlanDivergence::measure(const Plan& plan)
{
    auto weights = quantizedWeights(*m_model, plan, m_stop);
    if (!weights)
        return tl::unexpected(weights.error());
    ModelVariant variant {.tensors = {}, .hooks = {.weights = std::move(*weights)}};
    for (const auto& planned : plan.tensors)
        if (planned.scheme)
            variant.tensors.push_back(planned.tensor);
    return m_measurer.measure(variant);
}

}  // namespace quantloupe
