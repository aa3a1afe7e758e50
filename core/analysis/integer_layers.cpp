// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/integer_layers.h"

#include "core/analysis/measure.h"
#include "core/analysis/prepared_tensor.h"
#include "core/inference/integer_layer.h"
#include "core/inference/operations.h"

#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <utility>

namespace quantloupe {
namespace {

/// What a layer in integers is made of.
struct IntegerSchemes {
    Scheme weights {}, activations {};
};

/// What these make of weights lies on no grid of codes, or belongs to another input.
std::string refusalOfAlgorithms(const Scheme& scheme)
{
    constexpr std::array moving {
        Algorithm::Hadamard, Algorithm::BiasCorrection, Algorithm::Equalization, Algorithm::Smooth, Algorithm::Awq};
    for (const auto algorithm : scheme.algorithms)
        if (std::find(moving.begin(), moving.end(), algorithm) != moving.end())
            return std::string(nameOf(algorithm)) + " leaves weights that are no multiples of their scale";
    return {};
}

/// Rows at which layers of each tensor begin.
std::map<std::size_t, std::vector<std::uint64_t>> layersOf(const Decoder& decoder)
{
    std::map<std::size_t, std::vector<std::uint64_t>> rows;
    const auto add = [&](const LinearLayer& layer) { rows[layer.tensor].push_back(layer.firstRow); };
    const auto addGated = [&](const GatedLayers& layers) {
        std::for_each(layers.gateUp.begin(), layers.gateUp.end(), add);
        add(layers.down);
    };
    for (const auto& block : decoder.blocks) {
        std::for_each(block.attention.queryKeyValue.begin(), block.attention.queryKeyValue.end(), add);
        add(block.attention.output);
        if (block.feedForward.dense)
            addGated(*block.feedForward.dense);
        for (const auto& layer : {block.feedForward.sharedGate, block.feedForward.router})
            if (layer)
                add(*layer);
        std::for_each(block.feedForward.experts.begin(), block.feedForward.experts.end(), addGated);
    }
    return rows;
}

/// Why a tensor's layers cannot be computed in integers; empty if they can.
std::string refusalOf(
    const ModelTensor& tensor, const IntegerSchemes& schemes, const std::vector<std::uint64_t>* firstRows)
{
    if (!firstRows)
        return "it is no layer of a block";
    for (const auto row : *firstRows)
        if (row % IntegerLayer::outputStep != 0)
            return "its experts have a number of outputs that is no multiple of "
                + std::to_string(IntegerLayer::outputStep);
    if (auto refusal = refusalOfAlgorithms(schemes.weights); !refusal.empty())
        return refusal;
    const auto shape = matrixShape(tensor.view);
    // Too few outputs to take memory: the schemes and the length of sums are what is looked at.
    const auto layer = IntegerLayer::create(
        schemes.weights, schemes.activations, IntegerLayer::outputStep, static_cast<std::size_t>(shape.columns));
    return layer ? std::string() : layer.error().where + ": " + layer.error().reason;
}

Result<RowReplacer> encodeLayer(
    const Model& model, std::size_t index, const IntegerSchemes& schemes, const std::stop_token& stop)
{
    const auto& tensor = model.tensors[index];
    const auto prepared = prepareTensor(model, index, schemes.weights, stop);
    if (!prepared)
        return tl::unexpected(prepared.error());
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    const auto rows = static_cast<std::size_t>(shape.rows), columns = static_cast<std::size_t>(shape.columns);
    auto layer = IntegerLayer::create(schemes.weights, schemes.activations, rows, columns);
    if (!layer)
        return tl::unexpected(layer.error());
    struct Scratch {
        QuantizerScratch quantizer {};
        std::vector<float> weights {};
        std::vector<std::uint32_t> codes {};
    };
    tbb::enumerable_thread_specific<Scratch> scratches;
    std::atomic<bool> finite = true;
    constexpr auto step = IntegerLayer::outputStep;
    tbb::parallel_for(std::size_t {0}, (rows + step - 1) / step, [&](std::size_t piece) {
        if (stop.stop_requested())
            return;
        auto& scratch = scratches.local();
        const auto first = piece * step, count = std::min(step, rows - first);
        scratch.weights.resize(count * columns);
        scratch.codes.resize(count * columns);
        decodeRows(tensor.view, first, count, scratch.weights);
        if (!allFinite(scratch.weights))
            finite = false;
        prepared->scheme.quantize(first, scratch.weights, count, scratch.quantizer);
        prepared->scheme.encode(first, count, scratch.codes, scratch.quantizer);
        layer->setRows(first, scratch.codes, scratch.quantizer.grids);
    });
    if (stop.stop_requested())
        return cancelled(tensor);
    if (!finite)
        return failure(ErrorCode::Malformed, tensor.name, "holds NaN or an infinity: the model cannot be run");
    return RowReplacer(std::make_shared<const IntegerLayer>(std::move(*layer)));
}

}  // namespace

IntegerPlan planIntegers(const Decoder& decoder, const Plan& plan)
{
    IntegerPlan integers;
    integers.rest = plan;
    const auto layers = layersOf(decoder);
    for (auto& planned : integers.rest.tensors) {
        if (!planned.scheme || !planned.activations)
            continue;
        const auto found = layers.find(planned.tensor);
        auto refusal = refusalOf(decoder.model->tensors[planned.tensor], {*planned.scheme, *planned.activations},
            found == layers.end() ? nullptr : &found->second);
        if (!refusal.empty()) {
            integers.floating.push_back({planned.tensor, std::move(refusal)});
            continue;
        }
        integers.integers.push_back(planned);
        planned.activations.reset();
    }
    return integers;
}

WeightHook integerWeights(const Model& model, const IntegerPlan& plan, WeightHook others, std::stop_token stop)
{
    std::map<std::size_t, IntegerSchemes> schemes;
    for (const auto& planned : plan.integers)
        schemes.emplace(planned.tensor, IntegerSchemes {*planned.scheme, *planned.activations});
    return [&model, schemes = std::move(schemes), others = std::move(others), stop = std::move(stop)](
               std::size_t tensor) -> Result<RowReplacer> {
        if (const auto found = schemes.find(tensor); found != schemes.end())
            return encodeLayer(model, tensor, found->second, stop);
        return others ? others(tensor) : RowReplacer();
    };
}

}  // namespace quantloupe
