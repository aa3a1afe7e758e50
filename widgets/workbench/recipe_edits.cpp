// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/recipe_edits.h"

#include "core/base/glob.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

using quantloupe::globMatches;
using quantloupe::ModelCatalog;
using quantloupe::Recipe;

namespace {

using Names = std::set<std::string>;

/// One glob per family of names that the set covers completely, the names themselves for the rest.
std::vector<std::string> shortestPatterns(const ModelCatalog& model, const Names& tensors)
{
    std::map<std::string, std::vector<std::string>> families;
    for (const auto& tensor : tensors)
        families[blockPattern(tensor)].push_back(tensor);
    std::vector<std::string> patterns;
    for (const auto& [pattern, members] : families) {
        const auto covered = std::all_of(model.tensors.begin(), model.tensors.end(), [&](const auto& tensor) {
            return !tensor.quantizable || !globMatches(pattern, tensor.name) || tensors.contains(tensor.name);
        });
        if (members.size() > 1 && covered)
            patterns.push_back(pattern);
        else
            patterns.insert(patterns.end(), members.begin(), members.end());
    }
    return patterns;
}

/// Takes tensors out of the keep list; a glob that covers others too is replaced by their names.
void unkeep(Recipe& recipe, const ModelCatalog& model, const Names& tensors)
{
    std::vector<std::string> keep;
    for (const auto& glob : recipe.keep) {
        const auto hit =
            std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) { return globMatches(glob, tensor); });
        if (!hit) {
            keep.push_back(glob);
            continue;
        }
        for (const auto& tensor : model.tensors)
            if (globMatches(glob, tensor.name) && !tensors.contains(tensor.name))
                keep.push_back(tensor.name);
    }
    recipe.keep = std::move(keep);
}

}  // namespace

std::string blockPattern(const std::string& tensor)
{
    if (!quantloupe::readName(tensor).block)
        return tensor;
    // The block number is the first all-digit part of the name, in every naming world.
    for (std::size_t begin = 0; begin < tensor.size();) {
        const auto end = std::min(tensor.find('.', begin), tensor.size());
        const auto digits = end > begin
            && std::all_of(tensor.begin() + static_cast<std::ptrdiff_t>(begin),
                tensor.begin() + static_cast<std::ptrdiff_t>(end), [](unsigned char c) { return std::isdigit(c); });
        if (digits)
            return tensor.substr(0, begin) + "*" + tensor.substr(end);
        begin = end + 1;
    }
    return tensor;
}

Recipe withScheme(const Recipe& recipe, const ModelCatalog& model, const std::vector<std::string>& tensors,
    const std::optional<quantloupe::Scheme>& scheme)
{
    // Tensors that cannot be quantized are left alone: a rule for them would do nothing.
    Names names;
    for (const auto& tensor : tensors)
        if (const auto index = model.find(tensor); index && model.tensors[*index].quantizable)
            names.insert(tensor);
    if (names.empty())
        return recipe;

    auto edited = recipe;
    const auto patterns = shortestPatterns(model, names);
    // What only spoke of these tensors is overruled now and would never act again.
    std::erase_if(edited.rules, [&](const auto& rule) {
        return names.contains(rule.match) || std::find(patterns.begin(), patterns.end(), rule.match) != patterns.end();
    });
    unkeep(edited, model, names);
    if (!scheme) {
        edited.keep.insert(edited.keep.end(), patterns.begin(), patterns.end());
        return edited;
    }
    const quantloupe::LayerPlan plan {*scheme, recipe.defaultPlan.activations};
    for (const auto& pattern : patterns) {
        const auto matches = [&](const auto& rule) {
            return std::any_of(names.begin(), names.end(),
                [&](const auto& name) { return globMatches(pattern, name) && globMatches(rule.match, name); });
        };
        const auto ruled = std::any_of(edited.rules.begin(), edited.rules.end(), matches);
        if (ruled || !(plan == edited.defaultPlan))
            edited.rules.push_back({pattern, plan});
    }
    return edited;
}
