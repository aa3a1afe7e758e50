// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/shared_inputs.h"

namespace quantloupe {

std::vector<SharedInput> sharedInputsOf(const Decoder& decoder, std::size_t block)
{
    const auto& [attention, feedForward] = decoder.blocks[block];
    std::vector<SharedInput> inputs {{attention.queryKeyValue}, {{attention.output}}};
    SharedInput normed;  // what the router and the layers for all tokens read
    if (feedForward.router)
        normed.layers.push_back(*feedForward.router);
    if (feedForward.sharedGate)
        normed.layers.push_back(*feedForward.sharedGate);
    if (feedForward.dense)
        normed.layers.insert(normed.layers.end(), feedForward.dense->gateUp.begin(), feedForward.dense->gateUp.end());
    if (!normed.layers.empty())
        inputs.push_back(std::move(normed));
    if (feedForward.dense)
        inputs.push_back({{feedForward.dense->down}});
    const auto experts = static_cast<double>(feedForward.experts.size());
    for (const auto& expert : feedForward.experts) {
        const double share = static_cast<double>(decoder.expertsPerToken) / experts;
        inputs.push_back({expert.gateUp, share});
        inputs.push_back({{expert.down}, share});
    }
    return inputs;
}

LayerName nameOf(const Decoder& decoder, const LinearLayer& layer)
{
    const auto& tensor = decoder.model->tensors[layer.tensor];
    LayerName name {.tensor = tensor.name};
    if (tensor.view.shape.size() == 3 && !tensor.view.convolution)
        name.expert = static_cast<std::uint32_t>(layer.firstRow / layer.outputs);
    return name;
}

}  // namespace quantloupe
