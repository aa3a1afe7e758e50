// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/edit.h"

#include "core/base/glob.h"
#include "core/recipes/name_patterns.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

namespace quantloupe {
namespace {

using Plans = std::vector<std::optional<LayerPlan>>;

/// What default and rules say when nothing is kept.
Plans decideWithoutKeep(Recipe recipe, const ModelCatalog& model)
{
    recipe.keep.clear();
    return decide(recipe, model);
}

/// For each tensor the rules that match it, last first.
std::vector<std::vector<std::size_t>> matchingRules(const Recipe& recipe, const ModelCatalog& model)
{
    std::vector<std::vector<std::size_t>> chains(model.tensors.size());
    std::unordered_map<std::string_view, std::size_t> byName;
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        byName.emplace(model.tensors[i].name, i);
    for (std::size_t rule = recipe.rules.size(); rule-- > 0;) {
        const auto& pattern = recipe.rules[rule].match;
        if (!hasWildcard(pattern)) {
            if (const auto found = byName.find(pattern); found != byName.end())
                chains[found->second].push_back(rule);
            continue;
        }
        for (std::size_t i = 0; i < model.tensors.size(); ++i)
            if (globMatches(pattern, model.tensors[i].name))
                chains[i].push_back(rule);
    }
    return chains;
}

/// Rewrites `keep` so that it keeps the tensors whose plan is absent and none of the others. A glob that keeps too much
/// gives way to what it should have kept; one that keeps no tensor of this model stays.
std::vector<std::string> adjustKeep(
    const std::vector<std::string>& keep, const ModelCatalog& model, const TensorPatterns& patterns, const Plans& plans)
{
    const auto count = model.tensors.size();
    std::vector<char> free(count, 0), kept(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        free[i] = plans[i].has_value();
        kept[i] = !plans[i] && model.tensors[i].quantizable;
    }
    if (const auto tied = tiedHead(model))
        free[*tied] = kept[*tied] = 0;  // follows the embedding, whatever is written about it
    std::vector<std::string> adjusted;
    for (const auto& pattern : keep) {
        bool tooMuch = false;
        for (std::size_t i = 0; i < count && !tooMuch; ++i)
            tooMuch = free[i] && globMatches(pattern, model.tensors[i].name);
        if (tooMuch)
            continue;
        adjusted.push_back(pattern);
        for (std::size_t i = 0; i < count; ++i)
            if (kept[i] && globMatches(pattern, model.tensors[i].name))
                kept[i] = 0;
    }
    const auto missing = patterns.cover(kept, free);
    adjusted.insert(adjusted.end(), missing.begin(), missing.end());
    return adjusted;
}

/// Appends rules until the recipe gives every tensor the plan at its index. `restate` marks tensors that are to be
/// named again although they already have their plan, so that their old rules can fold into a common glob.
void appendRules(Recipe& recipe, const ModelCatalog& model, const TensorPatterns& patterns, const Plans& plans,
    const std::vector<char>& restate)
{
    const auto current = decideWithoutKeep(recipe, model);
    const auto tied = tiedHead(model);
    // Ordered by text, so that equal wishes give equal recipes.
    std::map<std::string, std::pair<LayerPlan, std::vector<char>>> wishes;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& plan = plans[i];
        if (!plan || tied == i || (current[i] == plan && !restate[i]))
            continue;
        auto& wish = wishes[plan->toString()];
        wish.first = *plan;
        wish.second.resize(plans.size(), 0);
        wish.second[i] = 1;
    }
    for (const auto& [text, wish] : wishes) {
        std::vector<char> forbidden(plans.size(), 0);
        for (std::size_t i = 0; i < plans.size(); ++i)
            forbidden[i] = plans[i].has_value() && tied != i && plans[i] != wish.first;
        for (auto& pattern : patterns.cover(wish.second, forbidden))
            recipe.rules.push_back({std::move(pattern), wish.first});
    }
}

/// Rules for whole role families whose majority differs from the default: exceptions are written behind them.
void appendFamilyRules(Recipe& recipe, const ModelCatalog& model, const Plans& plans)
{
    struct Family {
        std::string pattern;
        std::map<std::string, std::pair<LayerPlan, std::size_t>> votes;
    };
    std::vector<Family> families;  // in file order
    std::unordered_map<std::string, std::size_t> index;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& plan = plans[i];
        if (!plan)
            continue;
        auto pattern = familyPattern(model.tensors[i].name);
        const auto [entry, added] = index.try_emplace(pattern, families.size());
        if (added)
            families.push_back({std::move(pattern), {}});
        auto& vote = families[entry->second].votes[plan->toString()];
        vote.first = *plan;
        ++vote.second;
    }
    for (const auto& family : families) {
        const auto most = std::max_element(family.votes.begin(), family.votes.end(),
            [](const auto& left, const auto& right) { return left.second.second < right.second.second; });
        if (most->second.second > 1 && most->second.first != recipe.defaultPlan)
            recipe.rules.push_back({family.pattern, most->second.first});
    }
}

}  // namespace

Recipe setScheme(const Recipe& recipe, const ModelCatalog& model, std::span<const std::string> tensors,
    const std::optional<Scheme>& scheme)
{
    auto plans = decide(recipe, model);
    const std::unordered_set<std::string_view> named(tensors.begin(), tensors.end());
    const auto tied = tiedHead(model);
    std::unordered_set<std::string_view> edited;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& tensor = model.tensors[i];
        if (!tensor.quantizable || tied == i || !named.contains(tensor.name))
            continue;
        edited.insert(tensor.name);
        if (scheme)
            plans[i] = LayerPlan {*scheme, std::nullopt};
        else
            plans[i].reset();
    }
    if (edited.empty())
        return recipe;

    const TensorPatterns patterns(model);
    std::unordered_map<std::string_view, std::size_t> byName;
    for (std::size_t i = 0; i < plans.size(); ++i)
        byName.emplace(model.tensors[i].name, i);
    Recipe result = recipe;
    result.keep = adjustKeep(recipe.keep, model, patterns, plans);
    // Single-tensor rules of the same scheme are taken up again, so that the last of a family turns them into one glob.
    std::unordered_set<std::string_view> restated;
    std::erase_if(result.rules, [&](const RecipeRule& rule) {
        if (hasWildcard(rule.match))
            return false;
        if (edited.contains(rule.match))
            return true;
        const auto found = byName.find(rule.match);
        if (found == byName.end() || !scheme || plans[found->second] != LayerPlan {*scheme, std::nullopt})
            return false;
        restated.insert(found->first);
        return true;
    });
    std::vector<char> restate(plans.size(), 0);
    for (std::size_t i = 0; i < plans.size(); ++i)
        restate[i] = restated.contains(model.tensors[i].name) || (scheme && edited.contains(model.tensors[i].name));
    appendRules(result, model, patterns, plans, restate);
    return simplified(result, model);
}

Recipe recipeFor(const ModelCatalog& model, const Plans& plans, const Recipe& base)
{
    std::map<std::string, std::pair<LayerPlan, std::uint64_t>> votes;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& plan = plans[i];
        if (!plan)
            continue;
        auto& vote = votes[plan->toString()];
        vote.first = *plan;
        vote.second += model.tensors[i].parameters();
    }
    const TensorPatterns patterns(model);
    Recipe recipe = base;
    recipe.rules.clear();
    recipe.keep = adjustKeep(base.keep, model, patterns, plans);
    if (votes.empty())
        return recipe;
    recipe.defaultPlan = std::max_element(votes.begin(), votes.end(), [](const auto& left, const auto& right) {
        return left.second.second < right.second.second;
    })->second.first;
    appendFamilyRules(recipe, model, plans);
    appendRules(recipe, model, patterns, plans, std::vector<char>(plans.size(), 0));
    return simplified(recipe, model);
}

Recipe simplified(const Recipe& recipe, const ModelCatalog& model)
{
    auto chains = matchingRules(recipe, model);
    const auto undecided = decide(recipe, model);
    std::vector<char> drop(recipe.rules.size(), 0);
    std::vector<std::vector<std::size_t>> matched(recipe.rules.size());  // tensors that each rule matches
    for (std::size_t i = 0; i < chains.size(); ++i)
        for (const auto rule : chains[i])
            matched[rule].push_back(i);
    std::vector<std::size_t> head(chains.size(), 0);  // per tensor: the rule in its chain that still counts
    for (std::size_t rule = recipe.rules.size(); rule-- > 0;) {
        bool useful = matched[rule].empty();
        for (const auto i : matched[rule]) {
            if (!undecided[i] || head[i] >= chains[i].size() || chains[i][head[i]] != rule)
                continue;  // kept, or a later rule has the last word
            const auto& below =
                head[i] + 1 < chains[i].size() ? recipe.rules[chains[i][head[i] + 1]].plan : recipe.defaultPlan;
            useful = useful || below != recipe.rules[rule].plan;
        }
        drop[rule] = !useful;
        if (!useful)
            for (const auto i : matched[rule])
                if (head[i] < chains[i].size() && chains[i][head[i]] == rule)
                    ++head[i];
    }
    Recipe result = recipe;
    result.rules.clear();
    for (std::size_t rule = 0; rule < recipe.rules.size(); ++rule)
        if (!drop[rule])
            result.rules.push_back(recipe.rules[rule]);
    return result;
}

std::vector<RuleReach> ruleReaches(const Recipe& recipe, const ModelCatalog& model)
{
    std::vector<RuleReach> reaches(recipe.rules.size());
    const auto chains = matchingRules(recipe, model);
    const auto plans = decide(recipe, model);
    for (std::size_t i = 0; i < chains.size(); ++i) {
        if (!model.tensors[i].quantizable)
            continue;
        for (const auto rule : chains[i])
            ++reaches[rule].matches;
        if (plans[i] && !chains[i].empty())
            ++reaches[chains[i].front()].decides;
    }
    return reaches;
}

std::string describeRule(const RecipeRule& rule)
{
    return rule.match + " → " + rule.plan.toString();
}

}  // namespace quantloupe
