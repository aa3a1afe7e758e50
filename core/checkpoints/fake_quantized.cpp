// SPDX-License-Identifier: GPL-3.0-or-later
// The model as it was, with the values that quantized weights stand for: for every program that knows nothing of
// quantization. Nothing becomes smaller.
#include "core/checkpoints/safetensors_folder.h"

namespace quantloupe::checkpoints {
namespace {

bool isFloat(DType type)
{
    return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

std::string_view torchName(DType type)
{
    return type == DType::F16 ? "float16" : type == DType::BF16 ? "bfloat16" : "float32";
}

/// What the loaders take the tensors' type from.
void setType(nlohmann::ordered_json& config, DType type)
{
    for (const auto* key : {"torch_dtype", "dtype"})
        if (config.contains(key))
            config[key] = torchName(type);
}

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    auto config = configBeside(*request.model);
    if (!config)
        return tl::unexpected(config.error());
    auto result = folderDraft(request);
    for (const auto& planned : request.plan.tensors) {
        if (!planned.scheme) {
            addKept(result, request, planned.tensor);
            continue;
        }
        const auto& source = request.model->tensors[planned.tensor];
        const auto own = source.view.decoder || !isFloat(source.view.dtype) ? DType::BF16 : source.view.dtype;
        const auto type = request.floats.value_or(own);
        const auto stored = addStored(result, source.name, type, source.view.shape);
        result.tensors.push_back(floatTensor(planned.tensor, source.view, source.name, stored, type, *planned.scheme));
        if (planned.activations && result.warnings.empty())
            result.warnings.emplace_back("Schemes of inputs do not travel: inputs stay floating.");
    }
    layOutSafetensors(result, request.shardBytes);
    // The weights are plain floats now, whatever they were.
    config->erase("quantization_config");
    config->erase("quantization");
    if (request.floats)
        setType(*config, *request.floats);
    if (!config->empty())
        addTextFile(result, "config.json", config->dump(2) + "\n");
    return result;
}

}  // namespace

extern const CheckpointTarget fake_quantized;
const CheckpointTarget fake_quantized {
    .name = "fake-quantized",
    .title = "Fake-quantized safetensors",
    .description =
        "A folder of safetensors of the model's own size whose weights are the values that the codes stand for, as "
        "floats of a type of choice. Every scheme and algorithm; any program loads it.",
    .suffix = "",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
