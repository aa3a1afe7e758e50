// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/plan_divergence.h"

#include "core/analysis/analyze.h"
#include "core/analysis/quantized_weights.h"
#include "core/base/hash.h"

#include <algorithm>
#include <span>
#include <vector>

namespace quantloupe {

std::uint64_t calibrationUsed(const Model& model, const Plan& plan)
{
    std::vector<std::uint64_t> used;
    for (const auto& planned : plan.tensors)
        if (planned.scheme && needsInputs(*planned.scheme))
            if (const auto inputs = calibrationUsed(model.tensors[planned.tensor]); inputs != 0)
                used.insert(used.end(), {planned.tensor, inputs});
    return used.empty() ? 0 : std::max<std::uint64_t>(1, checksum64(std::as_bytes(std::span(used))));
}

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
