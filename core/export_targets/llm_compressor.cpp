// SPDX-License-Identifier: GPL-3.0-or-later
// A recipe of llm-compressor: modifiers in stages. Values are written as JSON, which YAML takes as it is. Modules under
// gptq go to a GPTQModifier, all others to a QuantizationModifier; AWQ and SmoothQuant come before. Source: interop
// notes on recipes, section 3.
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"

#include <algorithm>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;

bool hasAlgorithm(const PlannedTensor& planned, Algorithm algorithm)
{
    return planned.scheme
        && std::find(planned.scheme->algorithms.begin(), planned.scheme->algorithms.end(), algorithm)
        != planned.scheme->algorithms.end();
}

bool isSolved(const PlannedTensor& planned)
{
    return hasAlgorithm(planned, Algorithm::Gptq);
}

/// The plan of the modules for which `keep` holds; nullopt where there is none. All others stay.
template<class Keep>
std::optional<Plan> partOf(const Plan& plan, const Keep& keep)
{
    auto part = plan;
    bool any = false;
    for (auto& planned : part.tensors) {
        if (!planned.scheme)
            continue;
        if (!keep(planned))
            planned.scheme.reset();
        else
            any = any || !isPlainFloat(*planned.scheme);
    }
    return any ? std::optional(std::move(part)) : std::nullopt;
}

void putModifier(std::string& text, std::string_view name, const ordered_json& fields)
{
    text.append("    ").append(name).append(":").append(fields.empty() ? " {}\n" : "\n");
    for (const auto& [key, value] : fields.items()) {
        if (key != "config_groups") {
            text.append("      ").append(key).append(": ").append(value.dump()).append("\n");
            continue;
        }
        text += "      config_groups:\n";
        for (const auto& [group, content] : value.items()) {
            text.append("        ").append(group).append(":\n");
            for (const auto& [field, part] : content.items())
                text.append("          ").append(field).append(": ").append(part.dump()).append("\n");
        }
    }
}

/// Groups of one modifier, without what only checkpoints say.
Result<ordered_json> fieldsOf(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto config = compressedTensorsConfig(recipe, plan, model);
    if (!config)
        return tl::unexpected<Error>(config.error());
    ordered_json fields {{"ignore", (*config)["ignore"]}, {"config_groups", (*config)["config_groups"]}};
    if (!(*config)["kv_cache_scheme"].is_null())
        fields["kv_cache_scheme"] = (*config)["kv_cache_scheme"];
    for (auto& group : fields["config_groups"])
        group.erase("format");
    return fields;
}

void warn(const Plan& plan, const ModelCatalog& model, const Recipe& recipe, ExportResult& result)
{
    Remarks remarks;
    if (const auto modules = modulePlans(plan, model)) {
        remarkLosses(remarks, {}, *modules, {Algorithm::Gptq, Algorithm::Awq, Algorithm::Smooth}, true);
        for (const auto& module : *modules)
            if (module.scheme() && isInteger(module.scheme()->format)
                && module.scheme()->symmetry == Symmetry::Symmetric)
                remarks.add("symmetric grids take the full range there, one level more than sym", module.module);
    }
    if (recipe.keyValueCache && recipe.keyValueCache->granularity.kind != Granularity::Kind::Tensor)
        remarks.add("the KV cache takes one scale per tensor there", recipe.keyValueCache->toString());
    result.warnings = remarks.lines();
    warnOfSplitFusedTensors(plan, model, result.warnings);
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto any = [&](Algorithm algorithm) {
        return std::any_of(plan.tensors.begin(), plan.tensors.end(),
            [&](const PlannedTensor& planned) { return hasAlgorithm(planned, algorithm); });
    };
    std::string text("# Made by Quantloupe. Use: oneshot(model=..., dataset=..., recipe=<this file>)\n"
                     "quant_stage:\n  quant_modifiers:\n");
    if (any(Algorithm::Smooth))
        putModifier(text, "SmoothQuantModifier", {{"smoothing_strength", 0.5}});
    if (any(Algorithm::Awq))
        putModifier(text, "AWQModifier", {{"duo_scaling", true}});
    auto shared = recipe;
    bool written = false;
    for (const bool solved : {true, false}) {
        const auto part = partOf(plan, [&](const PlannedTensor& planned) { return isSolved(planned) == solved; });
        if (!part)
            continue;
        auto fields = fieldsOf(shared, *part, model);
        if (!fields)
            return tl::unexpected<Error>(fields.error());
        if (solved) {
            (*fields)["block_size"] = 128;
            (*fields)["dampening_frac"] = 0.01;
            (*fields)["actorder"] = nullptr;  // codes in the order of columns, as here
        }
        putModifier(text, solved ? "GPTQModifier" : "QuantizationModifier", *fields);
        shared.keyValueCache.reset();  // said once
        written = true;
    }
    if (!written)
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that llm-compressor could");
    ExportResult result {.files = {{"", std::move(text)}, planFile(recipe)}, .warnings = {}, .command = {}};
    warn(plan, model, recipe, result);
    return result;
}

}  // namespace

extern const ExportTarget llm_compressor;
const ExportTarget llm_compressor {
    .name = "llm-compressor",
    .title = "llm-compressor recipe",
    .description =
        "A YAML recipe of vLLM's quantizer, with gptq, awq and smooth as its modifiers. What compressed-tensors can "
        "store; range estimators and other algorithms do not travel.",
    .suffix = ".recipe.yaml",
    .write = &write,
};

}  // namespace quantloupe::export_targets
