// SPDX-License-Identifier: GPL-3.0-or-later
// What a layer's training is given: whether it can be trained on it.
#include "core/training/layer_starts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

tl::unexpected<Error> untrainable(std::string what, std::string why)
{
    return failure(ErrorCode::InvalidArgument, std::move(what), std::move(why));
}

}  // namespace

std::string_view nameOf(LayerStart start)
{
    switch (start) {
    case LayerStart::Best: return "best";
    case LayerStart::Nearest: return "rtn";
    case LayerStart::Gptq: return "gptq";
    case LayerStart::Descent: return "cd";
    }
    return "best";
}

std::optional<LayerStart> layerStartNamed(std::string_view name)
{
    for (const auto start : {LayerStart::Best, LayerStart::Nearest, LayerStart::Gptq, LayerStart::Descent})
        if (nameOf(start) == name)
            return start;
    return std::nullopt;
}

bool knowsMoments(const LayerInputs& inputs)
{
    return !inputs.secondMoments.empty() && inputs.tokens > 0;
}

Result<void> requireTrainable(
    const LayerToTrain& layer, const LayerTrainingOptions& options, const std::stop_token& stop)
{
    if (options.steps == 0 || options.batch == 0)
        return untrainable("training", "steps and batch must be above 0");
    if (!(options.learningRate > 0.0) || !(options.stepRate >= 0.0))
        return untrainable("training", "the learning rate must be above 0, that of grids not below");
    if (layer.rows == 0 || layer.columns == 0 || layer.weights.size() / layer.rows != layer.columns
        || layer.weights.size() % layer.rows != 0)
        return untrainable("weights",
            std::to_string(layer.weights.size()) + " are not " + std::to_string(layer.rows) + " rows of "
                + std::to_string(layer.columns));
    if (!std::all_of(layer.weights.begin(), layer.weights.end(), [](float weight) { return std::isfinite(weight); }))
        return untrainable("weights", "hold NaN or an infinity: they cannot be trained");
    for (const auto& [inputs, name] :
        {std::pair(layer.training, "training inputs"), std::pair(layer.heldOut, "held-out inputs")}) {
        if (inputs->columns != layer.columns)
            return untrainable(name,
                "have " + std::to_string(inputs->columns) + " channels, the layer has "
                    + std::to_string(layer.columns));
        if (auto checked = checkLayerInputs(*inputs, stop); !checked) {
            auto error = checked.error();
            error.reason = std::string(name) + ": " + error.reason;
            return tl::unexpected(std::move(error));
        }
        const std::size_t least = inputs == layer.heldOut ? 2 : 1;
        if (!knowsMoments(*inputs) && inputs->sampleTokens() < least)
            return untrainable(
                name, "hold neither second moments nor " + std::string(least == 1 ? "tokens" : "two tokens or more"));
    }
    return {};
}

Result<SplitInputs> splitSample(const LayerInputs& inputs, double heldOutShare)
{
    const auto all = inputs.sampleTokens();
    const auto held = static_cast<std::size_t>(std::llround(heldOutShare * static_cast<double>(all)));
    if (all < 4 || held < 2 || held + 2 > all)
        return untrainable("calibration sample",
            std::to_string(all) + " tokens cannot be cut into some to train on and some to hold out");
    SplitInputs split;
    const auto part = [&](std::size_t first, std::size_t count) {
        const auto* begin = inputs.sample.data() + (first * inputs.columns);
        return LayerInputs {
            .columns = inputs.columns, .tokens = count, .sample = {begin, begin + (count * inputs.columns)}};
    };
    split.training = part(0, all - held);
    split.heldOut = part(all - held, held);
    return split;
}

}  // namespace quantloupe
