// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/smoothing_search.h"

#include "core/algorithms/smooth_quant.h"
#include "core/analysis/norm_readers.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

namespace quantloupe {
namespace {

/// Everything that the search of one layer looks at. `inputs` have no tokens where none was routed to an expert: the
/// rest is empty then.
struct ReadLayer {
    std::vector<float> weights {};
    std::shared_ptr<const LayerInputs> inputs {};
    Quantizer quantizer;
};

tl::unexpected<Error> refuseSearch(const ModelTensor& tensor, std::string reason)
{
    return failure(ErrorCode::Unsupported, tensor.name, std::move(reason));
}

Result<std::shared_ptr<const LayerInputs>> sampledInputs(
    const ModelTensor& tensor, const LinearLayer& layer, const std::stop_token& stop)
{
    if (!tensor.inputs)
        return refuseSearch(tensor, "searching for α takes a sample of the layer's inputs: calibrate first");
    const auto rowsOfSlice = matrixShape(tensor.view).rows / tensor.inputs->slices;
    auto inputs = tensor.inputs->load(layer.firstRow / rowsOfSlice, stop);
    if (inputs && (*inputs)->tokens > 0 && (*inputs)->sample.empty())
        return refuseSearch(tensor, "searching for α takes a sample of the layer's inputs, and calibration kept none");
    return inputs;
}

Result<ReadLayer> readLayer(
    const ModelTensor& tensor, const LinearLayer& layer, Scheme scheme, const std::stop_token& stop)
{
    std::erase(scheme.algorithms, Algorithm::Smooth);
    auto quantizer = Quantizer::create(scheme, layer.inputs);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    if (!quantizer->hasGrids())
        return refuseSearch(
            tensor, "searching for α goes with schemes that have scales, not with '" + scheme.toString() + "'");
    auto inputs = sampledInputs(tensor, layer, stop);
    if (!inputs)
        return tl::unexpected(inputs.error());
    if ((*inputs)->tokens == 0)
        return ReadLayer {.inputs = std::move(*inputs), .quantizer = std::move(*quantizer)};
    const auto held = holdBytes(tensor.view, stop);
    if (!held)
        return tl::unexpected(held.error());
    std::vector<float> weights(layer.outputs * layer.inputs);
    decodeRows(tensor.view, layer.firstRow, layer.outputs, weights);
    const bool isFinite =
        std::all_of(weights.begin(), weights.end(), [](float weight) { return std::isfinite(weight); });
    if (!isFinite)
        return refuseSearch(tensor, "searching for α takes weights that are finite numbers");
    return ReadLayer {.weights = std::move(weights), .inputs = std::move(*inputs), .quantizer = std::move(*quantizer)};
}

/// What a runtime does to a layer's smoothed inputs; nothing where they are not quantized.
Result<InputRounding> roundingOf(const ModelTensor& tensor, const std::optional<Scheme>& activations,
    const ActivationRanges& ranges, std::span<const float> scales)
{
    if (!activations)
        return InputRounding([](std::span<float>) {});
    std::optional<ChannelRanges> smoothed;
    if (const auto found = ranges.find(tensor.name); found != ranges.end())
        smoothed = found->second.dividedBy(scales);
    auto replacer = quantizedInputs(*activations, scales.size(), smoothed ? &*smoothed : nullptr);
    if (!replacer)
        return refuseSearch(tensor, replacer.error().where + ": " + replacer.error().reason);
    return InputRounding([replacer = std::move(*replacer)](std::span<float> rows) {
        replacer.replace(rows, replacer.needsRange ? kernels::rangeOf(rows) : kernels::FiniteRange());
    });
}

Result<double> searchStrength(const Model& model, const Plan& plan, const NormReaders& readers,
    const ActivationRanges& ranges, const std::stop_token& stop)
{
    std::vector<ReadLayer> read;
    std::vector<SmoothedLayer> layers;
    read.reserve(readers.layers.size());  // the others borrow from it
    for (const auto& layer : readers.layers) {
        const auto& tensor = model.tensors[layer.tensor];
        const auto& planned = plan.tensors[layer.tensor];
        if (!planned.scheme)
            continue;
        auto own = readLayer(tensor, layer, *planned.scheme, stop);
        if (!own)
            return tl::unexpected(own.error());
        const auto& kept = read.emplace_back(std::move(*own));
        if (kept.inputs->tokens == 0)
            continue;
        layers.push_back({.weights = kept.weights,
            .rowCount = layer.outputs,
            .quantizer = &kept.quantizer,
            .inputs = kept.inputs.get(),
            .rounding = [&](std::span<const float> scales) {
                return roundingOf(tensor, planned.activations, ranges, scales);
            }});
    }
    if (layers.empty())
        return refuseSearch(model.tensors[readers.norm],
            "searching for α takes a sample of what this norm gives, and calibration saw no token behind it");
    return searchSmoothing(layers, stop).map([](const SmoothingSearch& search) { return search.alpha; });
}

}  // namespace

Result<SmoothingStrengths> searchStrengths(
    const Decoder& decoder, const Plan& plan, const ActivationRanges& ranges, std::stop_token stop)
{
    const auto smoothed = smoothedReaders(decoder, plan);
    if (!smoothed)
        return tl::unexpected(smoothed.error());
    SmoothingStrengths strengths;
    for (const auto& readers : *smoothed) {
        const auto alpha = searchStrength(*decoder.model, plan, readers, ranges, stop);
        if (!alpha)
            return tl::unexpected(alpha.error());
        strengths.byNorm[readers.norm] = *alpha;
    }
    return strengths;
}

}  // namespace quantloupe
