// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/quantized_model.h"

#include "core/analysis/quantized_weights.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

Result<ForwardHooks> quantizedModel(const Model& model, const Plan& plan, const std::optional<Scheme>& keyValueCache,
    const ActivationRanges& ranges, std::stop_token stop)
{
    ForwardHooks hooks;
    auto weights = quantizedWeights(model, plan, std::move(stop));
    if (!weights)
        return tl::unexpected(weights.error());
    hooks.weights = std::move(*weights);
    auto inputs = quantizedInputs(model, plan, ranges);
    if (!inputs)
        return tl::unexpected(inputs.error());
    hooks.inputs = std::move(*inputs);
    if (!keyValueCache)
        return hooks;
    // Any size does for what the scheme itself forbids; what a head forbids is found where its size is known.
    constexpr std::size_t someDimension = 128;
    if (auto cache = quantizedCache(*keyValueCache, someDimension); !cache)
        return tl::unexpected(cache.error());
    hooks.cache = [scheme = *keyValueCache](
                      std::size_t headDimension) { return quantizedCache(scheme, headDimension); };
    return hooks;
}

}  // namespace quantloupe
