// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/emission.h"
#include "core/model/hugging_face_names.h"

#include <algorithm>

namespace quantloupe {

bool isLinearModule(const CatalogTensor& tensor)
{
    switch (tensor.parts.role) {
    case TensorRole::Embedding:
    case TensorRole::Position:
    case TensorRole::Norm:
    case TensorRole::Bias: return false;
    default: return tensor.shape.size() == 2;
    }
}

Result<std::string> moduleOf(const CatalogTensor& tensor)
{
    static constexpr std::string_view kSuffix = ".weight";
    if (!tensor.name.ends_with(kSuffix))
        return failure(ErrorCode::Unsupported, tensor.name, "is not the weight of a module");
    if (!isPlainName(tensor.name))
        return failure(ErrorCode::Unsupported, tensor.name, "the name holds characters that patterns cannot take");
    return tensor.name.substr(0, tensor.name.size() - kSuffix.size());
}

std::optional<std::string> modulePathOf(const CatalogTensor& tensor, const ModelCatalog& model)
{
    auto named = tensor;
    if (model.naming == NamingWorld::Gguf) {
        auto name = huggingFaceName(tensor.name, model.config.architecture);
        if (!name)
            return std::nullopt;
        named.name = std::move(*name);
    }
    auto module = moduleOf(named);
    return module ? std::optional(std::move(*module)) : std::nullopt;
}

bool isPlainFloat(const Scheme& scheme)
{
    return scheme.format == Format::Fp32 || scheme.format == Format::Fp16 || scheme.format == Format::Bf16;
}

Result<std::vector<ModulePlan>> modulePlans(const Plan& plan, const ModelCatalog& model)
{
    std::vector<ModulePlan> modules;
    for (const auto index : emissionOrder(model)) {
        const auto& tensor = model.tensors[index];
        const auto& planned = plan.tensors[index];
        auto named = tensor;
        if (model.naming == NamingWorld::Gguf) {
            auto name = huggingFaceName(tensor.name, model.config.architecture);
            if (!name && planned.scheme)
                return failure(ErrorCode::Unsupported, tensor.name,
                    "has no one counterpart among Hugging Face's names, by which the tool knows modules");
            if (!name)
                continue;
            named.name = std::move(*name);
        }
        auto module = moduleOf(named);
        if (!module && planned.scheme)
            return tl::unexpected<Error>(module.error());
        if (module)
            modules.push_back({std::move(*module), &tensor, &planned, isLinearModule(tensor)});
    }
    return modules;
}

std::vector<std::string> Remarks::lines() const
{
    std::vector<std::string> lines;
    lines.reserve(m_tensors.size());
    for (const auto& [kind, tensors] : m_tensors)
        lines.push_back(kind + ": " + shortList(tensors));
    return lines;
}

void remarkLosses(Remarks& remarks, const Recipe& recipe, const std::vector<ModulePlan>& modules,
    std::initializer_list<Algorithm> known, bool takesActivations)
{
    for (const auto& module : modules) {
        if (!module.scheme())
            continue;
        const auto& scheme = *module.scheme();
        if (scheme.range.kind != RangeEstimator::Kind::MinMax)
            remarks.add("range estimators do not travel, the tool finds ranges by its own rules", module.module);
        if (scheme.scales != Scheme::of(scheme.format).scales)
            remarks.add("how scales are stored does not travel, the tool stores them by its own rules", module.module);
        for (const auto algorithm : scheme.algorithms)
            if (std::find(known.begin(), known.end(), algorithm) == known.end())
                remarks.add("algorithm " + std::string(nameOf(algorithm)) + " does not travel", module.module);
        if (module.planned->activations && !takesActivations)
            remarks.add("activation schemes do not travel", module.module);
    }
    if (recipe.keyValueCache)
        remarks.add("the KV cache is not part of this file", recipe.keyValueCache->toString());
}

tl::unexpected<Error> cannotExpress(std::string_view tool, const ModulePlan& module, const std::string& why)
{
    return failure(ErrorCode::Unsupported, module.tensor->name,
        std::string(tool) + " cannot express " + (module.scheme() ? module.scheme()->toString() : "this") + ": " + why);
}

}  // namespace quantloupe
