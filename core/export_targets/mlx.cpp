// SPDX-License-Identifier: GPL-3.0-or-later
// The `quantization` object of an MLX model's config.json: a default, and an object, or false, for each module that
// differs. Source: interop notes on recipes, section 11.
#include "core/export_targets/emission.h"
#include "core/recipes/strict_json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;

/// What MLX says of a module.
struct Setting {
    std::string mode = "affine";
    std::int64_t group = 64, bits = 4;
    bool operator==(const Setting&) const = default;
    auto operator<=>(const Setting&) const = default;
};

bool isAffine(const Setting& setting)
{
    static constexpr std::int64_t kBits[] {2, 3, 4, 5, 6, 8}, kGroups[] {32, 64, 128};
    return std::find(std::begin(kBits), std::end(kBits), setting.bits) != std::end(kBits)
        && std::find(std::begin(kGroups), std::end(kGroups), setting.group) != std::end(kGroups);
}

Result<Setting> settingOf(const ModulePlan& module, Remarks& remarks)
{
    const auto& scheme = *module.scheme();
    switch (scheme.format) {
    case Format::Mxfp4: return Setting {"mxfp4", 32, 4};
    case Format::Nvfp4: return Setting {"nvfp4", 16, 4};
    case Format::Mxfp8E4M3: return Setting {"mxfp8", 32, 8};
    default: break;
    }
    Setting setting {.group = scheme.granularity.columns, .bits = static_cast<std::int64_t>(codeBits(scheme.format))};
    if (!isInteger(scheme.format) || scheme.granularity.kind != Granularity::Kind::Group || !isAffine(setting))
        return cannotExpress("MLX", module,
            "it takes integers of 2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 or 128, mxfp4, mxfp8_e4m3 and nvfp4");
    if (module.tensor->matrix.columns % scheme.granularity.columns != 0)
        return cannotExpress("MLX", module, "groups must divide the row");
    if (scheme.symmetry != Symmetry::AsymmetricFloat)
        remarks.add("grids become affine, with a floating minimum (asymf is the same grid)", module.module);
    return setting;
}

ordered_json jsonOf(const Setting& setting)
{
    ordered_json json {{"group_size", setting.group}, {"bits", setting.bits}};
    if (setting.mode != "affine")
        json["mode"] = setting.mode;
    return json;
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    Remarks remarks;
    std::map<Setting, std::uint64_t> sizes;
    std::vector<std::pair<std::string, std::optional<Setting>>> settings;
    for (const auto& module : *modules) {
        if (!module.scheme() || isPlainFloat(*module.scheme())) {
            if (module.linear || module.tensor->parts.role == TensorRole::Embedding)
                settings.emplace_back(module.module, std::nullopt);
            continue;
        }
        const auto setting = settingOf(module, remarks);
        if (!setting)
            return tl::unexpected<Error>(setting.error());
        sizes[*setting] += module.tensor->parameters();
        settings.emplace_back(module.module, *setting);
    }
    if (sizes.empty())
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that MLX could");
    const auto base = std::max_element(sizes.begin(), sizes.end(), [](const auto& left, const auto& right) {
        return left.second < right.second;
    })->first;
    ordered_json quantization {{"group_size", base.group}, {"bits", base.bits}, {"mode", base.mode}};
    for (const auto& [module, setting] : settings) {
        if (!setting)
            quantization[module] = false;
        else if (*setting != base)
            quantization[module] = jsonOf(*setting);
    }
    remarkLosses(remarks, recipe, *modules, {}, false);
    const ordered_json document {{"quantization", quantization}, {"quantization_config", quantization}};
    return ExportResult {
        .files = {{"", document.dump(2) + "\n"}, planFile(recipe)}, .warnings = remarks.lines(), .command = {}};
}

Result<Setting> settingFrom(const ordered_json& value, const Setting& base, const std::string& where)
{
    Setting setting = base;
    setting.mode = value.value("mode", base.mode);
    if (setting.mode == "mxfp4")
        return Setting {"mxfp4", 32, 4};
    if (setting.mode == "nvfp4")
        return Setting {"nvfp4", 16, 4};
    if (setting.mode == "mxfp8")
        return Setting {"mxfp8", 32, 8};
    setting.group = value.value("group_size", base.group);
    setting.bits = value.value("bits", base.bits);
    if (setting.mode != "affine" || !isAffine(setting))
        return failure(ErrorCode::Unsupported, where,
            "mode " + setting.mode + " of " + std::to_string(setting.bits) + " bits in groups of "
                + std::to_string(setting.group) + " is not known");
    return setting;
}

Result<LayerPlan> planFrom(const Setting& setting)
{
    if (setting.mode == "affine")
        return LayerPlan::parse("int" + std::to_string(setting.bits) + ":g" + std::to_string(setting.group) + ":asymf");
    return LayerPlan::parse(setting.mode == "mxfp8" ? "mxfp8_e4m3" : setting.mode);
}

Result<ImportedPlans> readDocument(ordered_json document, const ModelCatalog& model, const std::string& where)
{
    const auto* key = document.contains("quantization") ? "quantization" : "quantization_config";
    if (!document.is_object() || !document.contains(key) || !document[key].is_object())
        return failure(ErrorCode::Malformed, where, "has no object 'quantization'");
    const auto quantization = document[key];
    const auto base = settingFrom(quantization, {}, where);
    if (!base)
        return tl::unexpected<Error>(base.error());
    ImportedPlans imported {.plans = std::vector<std::optional<LayerPlan>>(model.tensors.size()), .warnings = {}};
    std::map<std::string, bool> used;
    for (const auto& [name, value] : quantization.items())
        if (value.is_object() || value.is_boolean())
            used[name] = false;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto module = modulePathOf(tensor, model);
        if (!module || !tensor.quantizable || tensor.shape.size() != 2)
            continue;
        auto setting = *base;
        if (const auto own = quantization.find(*module); own != quantization.end()) {
            used[*module] = true;
            if (own->is_boolean() && !own->get<bool>())
                continue;
            if (own->is_object()) {
                const auto read = settingFrom(*own, {}, where);
                if (!read)
                    return tl::unexpected<Error>(read.error());
                setting = *read;
            }
        }
        const auto plan = planFrom(setting);
        if (!plan)
            return tl::unexpected<Error>(plan.error());
        imported.plans[i] = *plan;
    }
    for (const auto& [name, seen] : used)
        if (!seen)
            imported.warnings.push_back("'" + name + "' is no module of the model");
    return imported;
}

Result<ImportedPlans> read(std::string_view text, const ModelCatalog& model, const std::string& where)
{
    if (auto strict = parseStrictJson(text, where); !strict)
        return tl::unexpected<Error>(strict.error());
    try {
        return readDocument(ordered_json::parse(text), model, where);
    } catch (const nlohmann::json::exception& problem) {
        return failure(ErrorCode::Malformed, where, problem.what());
    }
}

}  // namespace

extern const ExportTarget mlx;
const ExportTarget mlx {
    .name = "mlx",
    .title = "MLX quantization",
    .description =
        "The quantization object of an MLX config.json: affine integers of 2 to 8 bits in groups of 32, 64 or 128, "
        "mxfp4, mxfp8 and nvfp4, for each module. Always with a floating minimum.",
    .suffix = ".mlx.json",
    .write = &write,
    .read = &read,
};

}  // namespace quantloupe::export_targets
