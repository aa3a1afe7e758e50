// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/train_layers.h"

#include "core/calibration/calibrate.h"
#include "core/calibration/shared_inputs.h"
#include "core/training/trained_weights.h"
#include "core/training/training_plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

/// Planned tensors by the inputs that they read.
struct LayerGroups {
    std::map<std::string, std::vector<std::size_t>> tensors {};
    std::set<std::string> others {};  ///< inputs that no planned tensor reads
    std::vector<std::size_t> inOrder {};
    std::uint64_t heldOutColumns = 0;  ///< of all inputs that are read
    std::uint64_t widest = 0;
};

LayerGroups groupLayers(const Decoder& decoder, const Plan& plan)
{
    std::map<std::size_t, std::uint64_t> rows;  // of planned tensors, and how many of them one input's layers cover
    for (const auto& planned : plan.tensors)
        if (planned.scheme)
            rows[planned.tensor] = matrixShape(decoder.model->tensors[planned.tensor].view).rows;
    LayerGroups groups;
    groups.others.insert(nameOf(decoder, decoder.head).text());
    for (std::size_t block = 0; block < decoder.blocks.size(); ++block)
        for (const auto& input : sharedInputsOf(decoder, block)) {
            std::map<std::size_t, std::uint64_t> covered;
            for (const auto& layer : input.layers)
                covered[layer.tensor] += layer.outputs;
            const auto key = nameOf(decoder, input.layers.front()).text();
            auto& tensors = groups.tensors[key];
            for (const auto& layer : input.layers) {
                const auto found = rows.find(layer.tensor);
                if (found == rows.end() || covered[layer.tensor] != found->second
                    || std::find(tensors.begin(), tensors.end(), layer.tensor) != tensors.end())
                    continue;
                tensors.push_back(layer.tensor);
                groups.inOrder.push_back(layer.tensor);
            }
            if (tensors.empty()) {
                groups.tensors.erase(key);
                groups.others.insert(key);
                continue;
            }
            groups.heldOutColumns += input.columns();
            groups.widest = std::max<std::uint64_t>(groups.widest, input.columns());
        }
    return groups;
}

std::map<std::size_t, Scheme> schemesOf(const Plan& plan)
{
    std::map<std::size_t, Scheme> schemes;
    for (const auto& planned : plan.tensors)
        if (planned.scheme)
            schemes[planned.tensor] = *planned.scheme;
    return schemes;
}

/// What is in memory at once, beside the passes.
std::uint64_t layersTrainingBytes(
    const Decoder& decoder, const LayerGroups& groups, const LayersTrainingOptions& options)
{
    std::uint64_t all = 0, largest = 0;
    for (const auto tensor : groups.inOrder) {
        const auto parameters = decoder.model->tensors[tensor].parameters();
        all += parameters;
        largest = std::max(largest, parameters);
    }
    constexpr std::uint64_t kBytesPerWeight = 44;  // trained, moments, rounded, kept; roundings to begin from
    constexpr std::uint64_t kBytesPerMoment = 24;  // gathered, whole, per token; the factor
    return (sizeof(float) * all) + (kBytesPerWeight * largest)
        + (sizeof(float) * groups.heldOutColumns * options.heldOutTokens)
        + (2 * sizeof(float) * groups.widest * options.tokens) + (kBytesPerMoment * groups.widest * groups.widest);
}

LayerInputs inputsFrom(const GatheredInput& gathered)
{
    LayerInputs inputs {.columns = gathered.figures.columns(), .tokens = gathered.figures.inputs.tokens};
    if (!gathered.moments.values().empty())
        inputs.secondMoments = gathered.moments.whole();
    inputs.sample = gathered.sample.rows();
    return inputs;
}

}  // namespace

std::vector<std::size_t> layersToTrain(const Decoder& decoder, const Plan& plan)
{
    return groupLayers(decoder, plan).inOrder;
}

std::vector<std::size_t> othersThanLayers(
    const Decoder& decoder, const Plan& plan, const std::function<bool(std::size_t tensor)>& wants)
{
    const auto layers = layersToTrain(decoder, plan);
    std::vector<std::size_t> others;
    for (const auto& planned : plan.tensors)
        if (planned.scheme
            && (std::find(layers.begin(), layers.end(), planned.tensor) == layers.end()
                || (wants && !wants(planned.tensor))))
            others.push_back(planned.tensor);
    return others;
}

Result<std::vector<TrainedTensor>> trainLayers(const Decoder& decoder, const Plan& plan, const WindowedText& text,
    const WindowedText& heldOut, const LayersTrainingOptions& options, std::stop_token stop, Progress& progress,
    const LayersWatch& watch)
{
    const auto groups = groupLayers(decoder, plan);
    if (groups.inOrder.empty())
        return failure(ErrorCode::InvalidArgument, decoder.model->path.string(),
            "no layer of a block is planned to be quantized that could be trained by itself");
    if (auto floating = requireFloatingInputs(plan); !floating)
        return tl::unexpected(floating.error());
    if (options.tokens == 0 || options.heldOutTokens < 2)
        return failure(ErrorCode::InvalidArgument, "training", "needs tokens to train on, and two to hold out");
    const auto own = layersTrainingBytes(decoder, groups, options);
    if (own >= options.memory)
        return failure(ErrorCode::InvalidArgument, "memory",
            std::to_string(options.memory) + " bytes are too few: what is trained and its inputs take "
                + std::to_string(own) + ", and passes over the texts come on top");
    const CalibrationLimits limits {options.layer.threads, options.memory - own};
    const auto& tensors = decoder.model->tensors;
    progress.totalItems = static_cast<std::uint32_t>(groups.inOrder.size());
    for (const auto tensor : groups.inOrder)
        progress.totalBytes += tensors[tensor].parameters();

    const auto gather = [&](const WindowedText& from, const GatheringOptions& what, const InputSink& sink) {
        Progress unseen;
        auto stream = ResidualStream::inMemory(static_cast<std::size_t>(tokensOf(from)), decoder.hidden);
        return calibrate(decoder, from, what, limits, groups.others, stream, sink, stop, unseen);
    };
    std::map<std::string, LayerInputs> held;
    auto done = gather(heldOut, {.moments = false, .sampleTokens = options.heldOutTokens},
        [&](const GatheredInput& gathered) -> Result<void> {
            held[gathered.figures.key()] = inputsFrom(gathered);
            return {};
        });
    if (!done)
        return tl::unexpected(done.error());

    const auto schemes = schemesOf(plan);
    std::vector<TrainedTensor> trained;
    const InputSink train = [&](const GatheredInput& gathered) -> Result<void> {
        const auto key = gathered.figures.key();
        const auto inputs = inputsFrom(gathered);
        for (const auto tensor : groups.tensors.at(key)) {
            const auto weights = weightsToTrain(tensors[tensor], stop);
            if (!weights)
                return tl::unexpected(weights.error());
            const LayerToTrain layer {.weights = *weights,
                .rows = weights->size() / inputs.columns,
                .columns = inputs.columns,
                .training = &inputs,
                .heldOut = &held.at(key)};
            auto result = trainLayer(layer, schemes.at(tensor), options.layer, stop,
                ProgressShare(progress, tensors[tensor].parameters()), [&](const LayerTrainingStep& step) {
                    return watch.afterStep ? watch.afterStep(tensor, step) : Result<void>();
                });
            if (!result) {
                auto error = result.error();
                error.reason = tensors[tensor].name + ": " + error.reason;
                return tl::unexpected(std::move(error));
            }
            trained.push_back({.tensor = tensor, .result = std::move(*result)});
            ++progress.doneItems;
            if (watch.afterLayer)
                if (auto told = watch.afterLayer(trained.back()); !told)
                    return told;
        }
        held.erase(key);
        return {};
    };
    done = gather(text, {.sampleTokens = options.tokens}, train);
    if (!done)
        return tl::unexpected(done.error());
    return trained;
}

ModelPointer layersOutline(const Decoder& decoder, const Plan& plan)
{
    const auto tensors = layersToTrain(decoder, plan);
    return outlineOf(*decoder.model, {tensors.begin(), tensors.end()});
}

ModelPointer withTrainedLayers(const Decoder& decoder, const std::vector<TrainedTensor>& trained)
{
    struct Holder {
        Model model;
        std::vector<std::shared_ptr<const TrainedLayer>> layers {};
    };
    const auto holder = std::make_shared<Holder>(Holder {.model = *decoder.model});
    for (const auto& one : trained) {
        holder->layers.push_back(one.result.layer);
        showFloats(holder->model.tensors[one.tensor], one.result.layer->weights);
    }
    return {holder, &holder->model};
}

WeightQuantization layersQuantization(
    const Decoder& decoder, const std::vector<TrainedTensor>& trained, WeightQuantization others)
{
    std::map<std::size_t, std::shared_ptr<const TrainedLayer>> layers;
    for (const auto& one : trained)
        layers[one.tensor] = one.result.layer;
    return [model = decoder.model, layers = std::move(layers), others = std::move(others)](std::size_t tensor,
               const Scheme& scheme, std::stop_token stop) -> Result<std::shared_ptr<const QuantizedTensor>> {
        const auto found = layers.find(tensor);
        if (found == layers.end())
            return others(tensor, scheme, std::move(stop));
        const auto& layer = found->second;
        auto made = learnedAs(scheme, layer->tensor(), layer->quantized().values, model->tensors[tensor].name);
        if (!made)
            return made;
        // The layer lives as long as its codes are asked for.
        using Kept = std::pair<std::shared_ptr<const TrainedLayer>, std::shared_ptr<const QuantizedTensor>>;
        const auto kept = std::make_shared<const Kept>(layer, std::move(*made));
        return std::shared_ptr<const QuantizedTensor>(kept, kept->second.get());
    };
}

}  // namespace quantloupe
