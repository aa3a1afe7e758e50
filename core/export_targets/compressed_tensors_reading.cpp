// SPDX-License-Identifier: GPL-3.0-or-later
// How compressed-tensors applies its configuration to modules. Source: interop notes on recipes, sections 4.1 and 4.2.
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <regex>

namespace quantloupe {
namespace {

using nlohmann::json;

/// One entry of `targets` or `ignore`.
struct ModulePattern {
    std::string text;
    std::optional<std::regex> regex {};
    std::size_t group = 0;
    bool used = false;

    bool matches(const std::string& module) const
    {
        // Python's re.match: anchored at the start only.
        return regex ? std::regex_search(module, *regex, std::regex_constants::match_continuous) : text == module;
    }
};

Result<ModulePattern> patternFrom(const json& value, std::size_t group, const std::string& where)
{
    if (!value.is_string())
        return failure(ErrorCode::Malformed, where, "a target is not text");
    ModulePattern pattern {.text = value.get<std::string>(), .group = group};
    if (!pattern.text.starts_with("re:"))
        return pattern;
    try {
        pattern.regex.emplace(pattern.text.substr(3));
    } catch (const std::regex_error&) {
        return failure(ErrorCode::Malformed, where, "'" + pattern.text + "' is not a regular expression");
    }
    return pattern;
}

std::string_view classOf(const CatalogTensor& tensor)
{
    return isLinearModule(tensor) ? "Linear" : tensor.parts.role == TensorRole::Embedding ? "Embedding" : "";
}

Result<Scheme> schemeFrom(const json& arguments, const std::string& where)
{
    const auto bits = arguments.value("num_bits", 8);
    const auto type = arguments.value("type", std::string("int"));
    const auto text = [&](const char* key) {
        const auto found = arguments.find(key);
        return found != arguments.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const auto group = arguments.contains("group_size") && arguments["group_size"].is_number_integer()
        ? arguments["group_size"].get<std::int64_t>()
        : std::int64_t {0};
    auto strategy = text("strategy");
    if (strategy.empty())
        strategy = group > 0 ? "group" : group == -1 ? "channel" : "tensor";
    std::string spelling;
    if (type == "float" && bits == 4)
        spelling = strategy == "tensor_group" ? "nvfp4" : "mxfp4";
    else
        spelling = type == "float" ? "fp8_e4m3" : "int" + std::to_string(bits);
    if (bits != 4 || type != "float") {
        if (strategy == "group")
            spelling += ":g" + std::to_string(group);
        else if (strategy == "block" && arguments.contains("block_structure")
            && arguments["block_structure"].size() == 2)
            spelling += ":b" + arguments["block_structure"][0].dump() + "x" + arguments["block_structure"][1].dump();
        else
            spelling += ":" + strategy;
        if (type != "float")
            spelling += arguments.value("symmetric", true) ? ":symf" : ":asym";
    }
    auto scheme = Scheme::parse(spelling);
    if (!scheme)
        return failure(ErrorCode::Unsupported, where, "'" + spelling + "' is no scheme here: " + scheme.error().reason);
    return scheme;
}

struct Groups {
    std::vector<LayerPlan> plans {};
    std::vector<ModulePattern> targets {}, ignored {};
};

Result<Groups> groupsOf(const json& config, const std::string& where)
{
    Groups groups;
    for (const auto& [name, group] : config.at("config_groups").items()) {
        if (!group.is_object() || !group.contains("weights") || group["weights"].is_null())
            return failure(ErrorCode::Unsupported, where, "group '" + name + "' says nothing of weights");
        const auto weights = schemeFrom(group["weights"], where);
        if (!weights)
            return tl::unexpected<Error>(weights.error());
        LayerPlan plan {*weights, std::nullopt};
        if (group.contains("input_activations") && group["input_activations"].is_object()) {
            const auto inputs = schemeFrom(group["input_activations"], where);
            if (!inputs)
                return tl::unexpected<Error>(inputs.error());
            plan.activations = *inputs;
        }
        for (const auto& target : group.value("targets", json::array())) {
            auto pattern = patternFrom(target, groups.plans.size(), where);
            if (!pattern)
                return tl::unexpected<Error>(pattern.error());
            groups.targets.push_back(std::move(*pattern));
        }
        groups.plans.push_back(std::move(plan));
    }
    // Exact names before patterns, patterns in the order of their text.
    std::stable_sort(
        groups.targets.begin(), groups.targets.end(), [](const ModulePattern& left, const ModulePattern& right) {
            return left.regex.has_value() != right.regex.has_value() ? !left.regex.has_value() : left.text < right.text;
        });
    for (const auto& entry : config.value("ignore", json::array())) {
        auto pattern = patternFrom(entry, 0, where);
        if (!pattern)
            return tl::unexpected<Error>(pattern.error());
        groups.ignored.push_back(std::move(*pattern));
    }
    return groups;
}

/// The group of a module; nullopt where it stays.
std::optional<std::size_t> groupFor(Groups& groups, const std::string& module, std::string_view type)
{
    for (auto& pattern : groups.ignored)
        if (pattern.matches(module) || pattern.text == type) {
            pattern.used = true;
            return std::nullopt;
        }
    for (auto& pattern : groups.targets)
        if (pattern.matches(module)) {
            pattern.used = true;
            return pattern.group;
        }
    for (auto& pattern : groups.targets)
        if (!type.empty() && pattern.text == type) {
            pattern.used = true;
            return pattern.group;
        }
    return std::nullopt;
}

Result<ImportedPlans> readConfig(json config, const ModelCatalog& model, const std::string& where)
{
    if (config.is_object() && config.contains("quantization_config"))
        config = json(config["quantization_config"]);
    if (!config.is_object() || !config.contains("config_groups") || !config["config_groups"].is_object())
        return failure(ErrorCode::Malformed, where, "has no object 'config_groups'");
    auto groups = groupsOf(config, where);
    if (!groups)
        return tl::unexpected<Error>(groups.error());
    ImportedPlans imported {.plans = std::vector<std::optional<LayerPlan>>(model.tensors.size()), .warnings = {}};
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto module = modulePathOf(tensor, model);
        if (!module || !tensor.quantizable)
            continue;
        if (const auto group = groupFor(*groups, *module, classOf(tensor)))
            imported.plans[i] = groups->plans[*group];
    }
    for (const auto& pattern : groups->targets)
        if (!pattern.used)
            imported.warnings.push_back("'" + pattern.text + "' matches no module, or others come first");
    return imported;
}

}  // namespace

Result<ImportedPlans> readCompressedTensors(std::string_view text, const ModelCatalog& model, const std::string& where)
{
    auto config = parseStrictJson(text, where);
    if (!config)
        return tl::unexpected<Error>(config.error());
    try {
        return readConfig(std::move(*config), model, where);
    } catch (const json::exception& problem) {
        return failure(ErrorCode::Malformed, where, problem.what());
    }
}

}  // namespace quantloupe
