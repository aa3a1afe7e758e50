// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/layer_divergence.h"

#include "core/analysis/quantized_weights.h"
#include "core/base/hash.h"
#include "core/calibration/calibrate.h"
#include "core/inference/variant_divergence.h"

#include <algorithm>
#include <string>
#include <vector>

namespace quantloupe {
namespace {

/// A plan that quantizes one tensor.
Plan planOf(const Model& model, const QuantizedLayer& layer)
{
    Plan plan;
    plan.tensors.resize(model.tensors.size());
    for (std::size_t i = 0; i < plan.tensors.size(); ++i)
        plan.tensors[i].tensor = i;
    plan.tensors[layer.tensor].scheme = layer.scheme;
    return plan;
}

}  // namespace

const Scheme& onePointScheme()
{
    static const Scheme scheme = Scheme::parse("int3:g32:asym").value();
    return scheme;
}

std::vector<QuantizedLayer> withoutDivergence(const Model& model, const StudySnapshot& study,
    std::span<const std::size_t> tensors, std::span<const Scheme> schemes, const WindowedText& text)
{
    const auto fingerprint = fingerprintOf(text);
    std::vector<QuantizedLayer> layers;
    for (const auto& scheme : schemes)
        for (const auto tensor : tensors) {
            const auto* measured = study.find(model.tensors[tensor].name, scheme.toString());
            if (!measured || measured->divergence.text != fingerprint)
                layers.push_back({tensor, scheme});
        }
    return layers;
}

Result<TensorMeasurement> withDivergence(
    const Model& model, const StudySnapshot& study, const QuantizedLayer& layer, const MeasuredDivergence& divergence)
{
    const auto& name = model.tensors[layer.tensor].name;
    const auto* weights = study.findWeights(name);
    const auto* measured = study.find(name, layer.scheme.toString());
    if (!weights || !measured)
        return failure(ErrorCode::Conflict, name, "was not measured before its divergence");
    TensorMeasurement updated {.tensor = name, .weights = *weights, .schemes = {*measured}};
    updated.schemes.front().divergence = divergence;
    return updated;
}

std::uint64_t fingerprintOf(const WindowedText& text)
{
    auto identity = identityOf(text);
    for (const auto& window : text.windows)
        identity += ',' + std::to_string(window.firstScored);
    return std::max<std::uint64_t>(1, checksum64(std::as_bytes(std::span(identity))));
}

Result<void> measureLayerDivergences(const Decoder& decoder, const WindowedText& text,
    std::span<const QuantizedLayer> layers, const EvaluationLimits& limits, std::stop_token stop, Progress& progress,
    const LayerDivergenceSink& sink)
{
    std::vector<ModelVariant> variants;
    for (const auto& layer : layers) {
        auto weights = quantizedWeights(*decoder.model, planOf(*decoder.model, layer), stop);
        if (!weights)
            return tl::unexpected(weights.error());
        variants.push_back({.tensors = {layer.tensor}, .hooks = {.weights = std::move(*weights)}});
    }
    const auto predictions = text.scored();
    const auto fingerprint = fingerprintOf(text);
    return measureVariants(decoder, text, variants, limits, std::move(stop), progress,
        [&](std::size_t index, const VariantDivergence& found) {
            return sink(index,
                {.mean = found.divergence.mean,
                    .standardError = found.standardError,
                    .predictions = predictions,
                    .text = fingerprint});
        });
}

}  // namespace quantloupe
