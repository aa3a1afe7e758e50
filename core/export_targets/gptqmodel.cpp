// SPDX-License-Identifier: GPL-3.0-or-later
// quantize_config.json of GPTQModel and AutoGPTQ: one base, and `dynamic` rules of which the first whose pattern
// matches from the start of a module's name decides. Source: interop notes on recipes, section 7.
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <regex>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;
using Kind = Granularity::Kind;

/// What GPTQ says of one module.
struct Grid {
    int bits = 4;
    std::int64_t group = 128;  ///< −1: a whole row
    bool symmetric = true;
    bool operator==(const Grid&) const = default;
    auto operator<=>(const Grid&) const = default;
};

Result<Grid> gridOf(const ModulePlan& module)
{
    const auto& scheme = *module.scheme();
    if (!isInteger(scheme.format) || codeBits(scheme.format) > 8.0 || scheme.format == Format::Int7)
        return cannotExpress("GPTQ", module, "it takes integers of 2, 3, 4, 5, 6 and 8 bits");
    if (scheme.granularity.kind != Kind::Channel && scheme.granularity.kind != Kind::Group)
        return cannotExpress("GPTQ", module, "scales belong to channels or groups there");
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return cannotExpress("GPTQ", module, "zero points are integers there, use asym");
    if (module.planned->activations)
        return cannotExpress("GPTQ", module, "inputs stay floating there");
    return Grid {static_cast<int>(codeBits(scheme.format)),
        scheme.granularity.kind == Kind::Group ? std::int64_t {scheme.granularity.columns} : -1,
        scheme.symmetry != Symmetry::Asymmetric};
}

ordered_json overridesOf(const Grid& grid, const Grid& base)
{
    auto fields = ordered_json::object();
    if (grid.bits != base.bits)
        fields["bits"] = grid.bits;
    if (grid.group != base.group)
        fields["group_size"] = grid.group;
    if (grid.symmetric != base.symmetric)
        fields["sym"] = grid.symmetric;
    return fields;
}

Result<ordered_json> makeConfig(const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    std::map<Grid, std::uint64_t> sizes;
    std::vector<std::pair<std::optional<Grid>, std::vector<std::string>>> groups;
    bool head = false;
    for (const auto& module : *modules) {
        std::optional<Grid> grid;
        if (module.scheme() && module.linear && !isPlainFloat(*module.scheme())) {
            const auto own = gridOf(module);
            if (!own)
                return tl::unexpected<Error>(own.error());
            grid = *own;
            sizes[*own] += module.tensor->parameters();
            head = head || module.tensor->parts.role == TensorRole::LmHead;
        } else if (!module.linear || module.tensor->parts.role == TensorRole::LmHead) {
            continue;  // never touched, or by `lm_head` only
        }
        auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& known) { return known.first == grid; });
        if (group == groups.end()) {
            groups.emplace_back(grid, std::vector<std::string> {});
            group = std::prev(groups.end());
        }
        group->second.push_back(module.module);
    }
    if (sizes.empty())
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that GPTQ could");
    const auto base = std::max_element(sizes.begin(), sizes.end(), [](const auto& left, const auto& right) {
        return left.second < right.second;
    })->first;
    const bool asymmetric =
        std::any_of(sizes.begin(), sizes.end(), [](const auto& entry) { return !entry.first.symmetric; });
    ordered_json config {{"bits", base.bits}, {"group_size", base.group}, {"desc_act", false}, {"sym", base.symmetric},
        {"lm_head", head}, {"quant_method", "gptq"},
        // The first version cannot hold a zero point of 0.
        {"checkpoint_format", asymmetric ? "gptq_v2" : "gptq"}, {"pack_dtype", "int32"},
        {"meta", {{"quantizer", {"quantloupe:0.1.0"}}}}};
    auto dynamic = ordered_json::object();
    for (const auto& [grid, names] : groups) {
        if (grid == base)
            continue;
        for (const auto& regex : exactRegexes(names))
            dynamic[(grid ? "+:^" : "-:^") + regex + "$"] = grid ? overridesOf(*grid, base) : ordered_json::object();
    }
    if (!dynamic.empty())
        config["dynamic"] = std::move(dynamic);
    return config;
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto config = makeConfig(plan, model);
    if (!config)
        return tl::unexpected<Error>(config.error());
    Remarks remarks;
    if (const auto modules = modulePlans(plan, model)) {
        remarkLosses(remarks, recipe, *modules, {Algorithm::Gptq}, false);
        for (const auto& module : *modules) {
            if (module.scheme() && !module.linear)
                remarks.add("only linear layers are quantized, these stay as they are", module.module);
            else if (module.scheme() && isInteger(module.scheme()->format)
                && module.scheme()->symmetry == Symmetry::Symmetric)
                remarks.add("symmetric grids take the full range there, one level more than sym", module.module);
        }
    }
    ExportResult result {
        .files = {{"", config->dump(2) + "\n"}, planFile(recipe)}, .warnings = remarks.lines(), .command = {}};
    warnOfSplitFusedTensors(plan, model, result.warnings);
    return result;
}

/// Fields of an object that are there, over those of `base`.
Grid gridFrom(const ordered_json& fields, const Grid& base)
{
    return {
        fields.value("bits", base.bits), fields.value("group_size", base.group), fields.value("sym", base.symmetric)};
}

Result<Scheme> schemeFrom(const Grid& grid, const std::string& where)
{
    std::string text = "int" + std::to_string(grid.bits);
    text += grid.group > 0 ? ":g" + std::to_string(grid.group) : ":channel";
    text += grid.symmetric ? ":symf" : ":asym";
    auto scheme = Scheme::parse(text);
    if (!scheme)
        return failure(ErrorCode::Unsupported, where, text + " is no scheme here: " + scheme.error().reason);
    return scheme;
}

struct Rule {
    std::regex pattern;
    bool quantizes = true;
    Grid grid {};
    std::string text {};
    bool used = false;
};

Result<std::vector<Rule>> rulesOf(const ordered_json& config, const Grid& base, const std::string& where)
{
    std::vector<Rule> rules;
    const auto found = config.find("dynamic");
    if (found == config.end() || !found->is_object())
        return rules;
    for (const auto& [key, value] : found->items()) {
        const bool marked = key.starts_with("+:") || key.starts_with("-:");
        const auto pattern = marked ? key.substr(2) : key;
        try {
            rules.push_back(
                {std::regex(pattern), !key.starts_with("-:"), value.is_object() ? gridFrom(value, base) : base, key});
        } catch (const std::regex_error&) {
            return failure(ErrorCode::Malformed, where, "'" + pattern + "' is not a regular expression");
        }
    }
    return rules;
}

Result<ImportedPlans> readConfig(const ordered_json& config, const ModelCatalog& model, const std::string& where)
{
    const auto base = gridFrom(config, {});
    auto rules = rulesOf(config, base, where);
    if (!rules)
        return tl::unexpected<Error>(rules.error());
    ImportedPlans imported {.plans = std::vector<std::optional<LayerPlan>>(model.tensors.size()), .warnings = {}};
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto module = modulePathOf(tensor, model);
        if (!module || !isLinearModule(tensor) || !tensor.quantizable
            || (tensor.parts.role == TensorRole::LmHead && !config.value("lm_head", false)))
            continue;
        std::optional<Grid> grid = base;
        for (auto& rule : *rules)
            if (std::regex_search(*module, rule.pattern, std::regex_constants::match_continuous)) {
                rule.used = true;
                grid = rule.quantizes ? std::optional(rule.grid) : std::nullopt;
                break;
            }
        if (!grid)
            continue;
        const auto scheme = schemeFrom(*grid, where);
        if (!scheme)
            return tl::unexpected<Error>(scheme.error());
        imported.plans[i] = LayerPlan {*scheme, std::nullopt};
    }
    for (const auto& rule : *rules)
        if (!rule.used)
            imported.warnings.push_back("'" + rule.text + "' matches no module, or others come first");
    return imported;
}

Result<ImportedPlans> read(std::string_view text, const ModelCatalog& model, const std::string& where)
{
    if (auto strict = parseStrictJson(text, where); !strict)
        return tl::unexpected<Error>(strict.error());
    auto ordered = nlohmann::ordered_json::parse(text, nullptr, false);
    if (ordered.is_object() && ordered.contains("quantization_config"))
        ordered = ordered_json(ordered["quantization_config"]);
    if (!ordered.is_object() || !ordered.contains("bits"))
        return failure(ErrorCode::Malformed, where, "is no quantize_config.json: it does not say bits");
    try {
        return readConfig(ordered, model, where);
    } catch (const nlohmann::json::exception& problem) {
        return failure(ErrorCode::Malformed, where, problem.what());
    }
}

}  // namespace

extern const ExportTarget gptqmodel;
const ExportTarget gptqmodel {
    .name = "gptqmodel",
    .title = "GPTQModel quantize_config",
    .description =
        "quantize_config.json of GPTQModel and AutoGPTQ with its dynamic rules: integers of 2 to 8 bits by channel or "
        "group for linear layers. Floats, embeddings and quantized inputs are refused.",
    .suffix = ".quantize_config.json",
    .write = &write,
    .read = &read,
};

}  // namespace quantloupe::export_targets

namespace quantloupe {

Result<nlohmann::ordered_json> gptqConfig(const Plan& plan, const ModelCatalog& model)
{
    return export_targets::makeConfig(plan, model);
}

}  // namespace quantloupe
