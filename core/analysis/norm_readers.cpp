// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/norm_readers.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace quantloupe {
namespace {

std::vector<NormReaders> readersOf(const DecoderBlock& block)
{
    NormReaders attention {.norm = block.attention.norm.tensor, .layers = block.attention.queryKeyValue};
    NormReaders feedForward {.norm = block.feedForward.norm.tensor};
    auto& layers = feedForward.layers;
    const auto& part = block.feedForward;
    for (const auto* single : {&part.router, &part.sharedGate})
        if (*single)
            layers.push_back(**single);
    if (part.dense)
        layers.insert(layers.end(), part.dense->gateUp.begin(), part.dense->gateUp.end());
    for (const auto& expert : part.experts)
        layers.insert(layers.end(), expert.gateUp.begin(), expert.gateUp.end());
    return {std::move(attention), std::move(feedForward)};
}

/// Whether these are smoothed: all that are quantized, or none.
Result<bool> allSmooth(const Model& model, const Plan& plan, const NormReaders& readers)
{
    std::optional<std::size_t> with, without;
    for (const auto& layer : readers.layers)
        if (const auto& scheme = plan.tensors[layer.tensor].scheme)
            (uses(*scheme, Algorithm::Smooth) ? with : without) = layer.tensor;
    if (with && without)
        return failure(ErrorCode::InvalidArgument, model.tensors[*without].name,
            "reads the same inputs as " + model.tensors[*with].name + ": smooth both or neither");
    return with.has_value();
}

}  // namespace

std::vector<std::size_t> NormReaders::tensors() const
{
    std::vector<std::size_t> found;
    for (const auto& layer : layers)
        if (std::find(found.begin(), found.end(), layer.tensor) == found.end())
            found.push_back(layer.tensor);
    return found;
}

Result<std::vector<NormReaders>> smoothedReaders(const Decoder& decoder, const Plan& plan)
{
    if (plan.tensors.size() != decoder.model->tensors.size())
        return failure(ErrorCode::Conflict, decoder.model->path.string(), "the plan was made for another model");
    std::vector<NormReaders> smoothed;
    for (const auto& block : decoder.blocks)
        for (auto& readers : readersOf(block)) {
            const auto smooth = allSmooth(*decoder.model, plan, readers);
            if (!smooth)
                return tl::unexpected(smooth.error());
            if (*smooth)
                smoothed.push_back(std::move(readers));
        }
    return smoothed;
}

}  // namespace quantloupe
