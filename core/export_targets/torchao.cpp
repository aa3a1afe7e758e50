// SPDX-License-Identifier: GPL-3.0-or-later
// torchao's FqnToConfig inside a config.json: exact names come first, then `re:` patterns that match a whole name, the
// first in order. Source: interop notes on recipes, section 6.
#include "core/export_targets/emission.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;
using Kind = Granularity::Kind;

ordered_json object(std::string_view type, int version, ordered_json fields)
{
    return {{"_type", type}, {"_version", version}, {"_data", std::move(fields)}};
}

ordered_json plain(std::string_view type, std::string value)
{
    return {{"_type", type}, {"_data", std::move(value)}};
}

Result<ordered_json> floatConfig(const ModulePlan& module)
{
    const auto& inputs = module.planned->activations;
    if (module.scheme()->granularity.kind != Kind::Channel && module.scheme()->granularity.kind != Kind::Tensor)
        return cannotExpress("torchao", module, "fp8 weights have scales of channels or of the tensor");
    if (!inputs)
        return object("Float8WeightOnlyConfig", 2, ordered_json::object());
    if (inputs->format != Format::Fp8E4M3 || inputs->granularity.kind != Kind::Token)
        return cannotExpress("torchao", module, "with fp8 weights it takes fp8_e4m3:token inputs");
    return object("Float8DynamicActivationFloat8WeightConfig", 2, ordered_json::object());
}

Result<ordered_json> configFor(const ModulePlan& module, Remarks& remarks)
{
    const auto& scheme = *module.scheme();
    if (scheme.format == Format::Fp8E4M3)
        return floatConfig(module);
    if (!isInteger(scheme.format) || codeBits(scheme.format) > 8.0)
        return cannotExpress("torchao", module, "it takes integers of up to 8 bits and fp8_e4m3");
    if (scheme.granularity.kind != Kind::Channel && scheme.granularity.kind != Kind::Group)
        return cannotExpress("torchao", module, "integers have scales of channels or groups there");
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return cannotExpress("torchao", module, "zero points are integers there, use asym");
    if (module.planned->activations)
        return cannotExpress("torchao", module, "integer weights have floating inputs there");
    if (scheme.granularity.kind == Kind::Group && module.tensor->matrix.columns % scheme.granularity.columns != 0)
        return cannotExpress("torchao", module, "groups must divide the row");
    if (scheme.symmetry == Symmetry::Symmetric)
        remarks.add("symmetric grids take the full range there, one level more than sym", module.module);
    const auto granularity = scheme.granularity.kind == Kind::Group
        ? object("PerGroup", 1, {{"group_size", scheme.granularity.columns}})
        : object("PerAxis", 1, {{"axis", 0}});
    return object("IntxWeightOnlyConfig", 2,
        {{"weight_dtype", plain("torch.dtype", std::string(nameOf(scheme.format)))}, {"granularity", granularity},
            {"mapping_type",
                plain("MappingType", scheme.symmetry == Symmetry::Asymmetric ? "ASYMMETRIC" : "SYMMETRIC")}});
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    Remarks remarks;
    ModulesBySettings<ordered_json> groups;
    bool any = false, embeddings = false;
    for (const auto& module : *modules) {
        ordered_json config;  // null: left alone
        if (module.scheme() && !isPlainFloat(*module.scheme())) {
            auto own = configFor(module, remarks);
            if (!own)
                return tl::unexpected<Error>(own.error());
            config = std::move(*own);
            any = true;
            embeddings = embeddings || module.tensor->parts.role == TensorRole::Embedding
                || module.tensor->parts.role == TensorRole::LmHead;
        } else if (!module.linear) {
            continue;
        }
        addModule(groups, std::move(config), module.module);
    }
    if (!any)
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that torchao could");
    auto names = ordered_json::object();
    for (const auto& [config, members] : groups)
        for (auto& regex : exactRegexes(members)) {
            if (regex.find('(') != std::string::npos) {
                names["re:" + regex] = config;
                continue;
            }
            std::erase(regex, '\\');
            names[regex] = config;
        }
    const auto table = object("FqnToConfig", 1, {{"fqn_to_config", names}});
    const ordered_json document {{"quantization_config",
        {{"quant_method", "torchao"}, {"modules_to_not_convert", nullptr},
            {"include_input_output_embeddings", embeddings}, {"quant_type", {{"default", table}}}}}};
    remarkLosses(remarks, recipe, *modules, {}, true);
    return ExportResult {
        .files = {{"", document.dump(2) + "\n"}, planFile(recipe)}, .warnings = remarks.lines(), .command = {}};
}

}  // namespace

extern const ExportTarget torchao;
const ExportTarget torchao {
    .name = "torchao",
    .title = "torchao configuration",
    .description = "The quantization_config by which Transformers quantizes with torchao when it loads: integers of up "
                   "to 8 bits by "
                   "channel or group, fp8_e4m3, for each module. Scales and layouts are its own.",
    .suffix = ".torchao.json",
    .write = &write,
};

}  // namespace quantloupe::export_targets
