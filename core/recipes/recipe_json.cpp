// SPDX-License-Identifier: GPL-3.0-or-later
// The native recipe, *.recipe.json, version 1.
#include "core/recipes/recipe.h"
#include "core/recipes/strict_json.h"

namespace quantloupe {
namespace {

constexpr std::uint64_t kVersion = 1;

/// The same error, with the member it came from in front.
tl::unexpected<Error> within(const StrictObject& object, std::string_view key, const Error& error)
{
    auto complaint = object.complain(key, error.reason);
    complaint.value().code = error.code;
    return complaint;
}

Result<LayerPlan> readPlan(const StrictObject& object, std::string_view key)
{
    const auto text = object.text(key);
    if (!text)
        return tl::unexpected<Error>(text.error());
    auto plan = LayerPlan::parse(*text);
    if (!plan)
        return within(object, key, plan.error());
    return plan;
}

Result<std::optional<Scheme>> readScheme(const StrictObject& object, std::string_view key)
{
    if (!object.find(key))
        return std::optional<Scheme> {};
    const auto text = object.text(key);
    if (!text)
        return tl::unexpected<Error>(text.error());
    const auto scheme = Scheme::parse(*text);
    if (!scheme)
        return within(object, key, scheme.error());
    return std::optional<Scheme>(*scheme);
}

Result<void> checkVersion(const StrictObject& document, const std::string& where)
{
    const auto* value = document.find("quantloupe_recipe");
    if (!value)
        return document.complain("quantloupe_recipe", "missing: this is not a Quantloupe recipe");
    const auto version = document.countOr("quantloupe_recipe", 0);
    if (!version)
        return tl::unexpected<Error>(version.error());
    if (*version > kVersion)
        return failure(ErrorCode::Unsupported, where,
            "recipe version " + std::to_string(*version) + " is newer than this program, which reads version 1");
    if (*version == 0)
        return document.complain("quantloupe_recipe", "there is no version 0");
    return {};
}

Result<void> readModel(Recipe& recipe, const StrictObject& document, const std::string& where)
{
    const auto* value = document.find("model");
    if (!value)
        return {};
    const auto model = StrictObject::of(*value, "model", where, {"architecture", "fingerprint", "parameters"});
    if (!model)
        return tl::unexpected<Error>(model.error());
    auto architecture = model->textOr("architecture", {});
    auto fingerprint = model->textOr("fingerprint", {});
    const auto parameters = model->countOr("parameters", 0);
    for (const auto* part : {&architecture, &fingerprint})
        if (!*part)
            return tl::unexpected<Error>(part->error());
    if (!parameters)
        return tl::unexpected<Error>(parameters.error());
    recipe.architecture = std::move(*architecture);
    recipe.fingerprint = std::move(*fingerprint);
    recipe.parameters = *parameters;
    return {};
}

Result<void> readKeep(Recipe& recipe, const StrictObject& document)
{
    const auto keep = document.array("keep");
    if (!keep)
        return tl::unexpected<Error>(keep.error());
    for (std::size_t i = 0; i < (*keep)->size(); ++i) {
        const auto& entry = (**keep)[i];
        const auto key = "keep[" + std::to_string(i) + "]";
        if (!entry.is_string())
            return document.complain(key, "expected text, found " + std::string(jsonTypeName(entry)));
        recipe.keep.push_back(entry.get<std::string>());
        if (recipe.keep.back().empty())
            return document.complain(key, "an empty pattern matches nothing");
    }
    return {};
}

Result<void> readRules(Recipe& recipe, const StrictObject& document, const std::string& where)
{
    const auto rules = document.array("rules");
    if (!rules)
        return tl::unexpected<Error>(rules.error());
    for (std::size_t i = 0; i < (*rules)->size(); ++i) {
        const auto path = "rules[" + std::to_string(i) + "]";
        const auto rule = StrictObject::of((**rules)[i], path, where, {"match", "scheme"});
        if (!rule)
            return tl::unexpected<Error>(rule.error());
        auto match = rule->text("match");
        if (!match)
            return tl::unexpected<Error>(match.error());
        if (match->empty())
            return rule->complain("match", "an empty pattern matches nothing");
        auto plan = readPlan(*rule, "scheme");
        if (!plan)
            return tl::unexpected<Error>(plan.error());
        recipe.rules.push_back({std::move(*match), std::move(*plan)});
    }
    return {};
}

}  // namespace

Result<Recipe> Recipe::fromJson(std::string_view text, const std::string& where)
{
    const auto json = parseStrictJson(text, where);
    if (!json)
        return tl::unexpected<Error>(json.error());
    // The version first: a newer recipe's unknown keys are not the user's mistake.
    if (json->is_object()) {
        if (const auto version = json->find("quantloupe_recipe");
            version != json->end() && version->is_number_unsigned() && version->get<std::uint64_t>() > kVersion)
            return failure(ErrorCode::Unsupported, where,
                "recipe version " + version->dump() + " is newer than this program, which reads version 1");
    }
    const auto document = StrictObject::of(*json, {}, where,
        {"quantloupe_recipe", "model", "default", "keep", "rules", "activations", "kv_cache", "notes"});
    if (!document)
        return tl::unexpected<Error>(document.error());

    Recipe recipe;
    if (auto done = checkVersion(*document, where); !done)
        return tl::unexpected<Error>(done.error());
    if (auto done = readModel(recipe, *document, where); !done)
        return tl::unexpected<Error>(done.error());
    auto plan = readPlan(*document, "default");
    if (!plan)
        return tl::unexpected<Error>(plan.error());
    recipe.defaultPlan = std::move(*plan);
    if (auto done = readKeep(recipe, *document); !done)
        return tl::unexpected<Error>(done.error());
    if (auto done = readRules(recipe, *document, where); !done)
        return tl::unexpected<Error>(done.error());
    auto activations = readScheme(*document, "activations");
    if (!activations)
        return tl::unexpected<Error>(activations.error());
    auto cache = readScheme(*document, "kv_cache");
    if (!cache)
        return tl::unexpected<Error>(cache.error());
    auto notes = document->textOr("notes", {});
    if (!notes)
        return tl::unexpected<Error>(notes.error());
    recipe.activations = std::move(*activations);
    recipe.keyValueCache = std::move(*cache);
    recipe.notes = std::move(*notes);
    return recipe;
}

std::string Recipe::toJson() const
{
    using nlohmann::ordered_json;
    const auto schemeOrNull = [](const std::optional<Scheme>& scheme) {
        return scheme ? ordered_json(scheme->toString()) : ordered_json(nullptr);
    };
    ordered_json json;
    json["quantloupe_recipe"] = kVersion;
    json["model"] = {{"architecture", architecture}, {"fingerprint", fingerprint}, {"parameters", parameters}};
    json["default"] = defaultPlan.toString();
    json["keep"] = keep;
    json["rules"] = ordered_json::array();
    for (const auto& rule : rules)
        json["rules"].push_back({{"match", rule.match}, {"scheme", rule.plan.toString()}});
    json["activations"] = schemeOrNull(activations);
    json["kv_cache"] = schemeOrNull(keyValueCache);
    json["notes"] = notes;
    // Names come from files and need not be UTF-8; a replacement character is better than no recipe.
    return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace quantloupe
