// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/plan.h"

#include "core/base/glob.h"
#include "core/recipes/name_patterns.h"

#include <algorithm>
#include <unordered_map>

namespace quantloupe {
namespace {

/// A recipe prepared for lookups by name: exact names hashed, so that a thousand single-tensor rules stay cheap.
class RuleIndex
{
public:
    explicit RuleIndex(const Recipe& recipe)
        : m_recipe(recipe)
    {
        for (std::size_t i = 0; i < recipe.rules.size(); ++i) {
            if (hasWildcard(recipe.rules[i].match))
                m_globs.push_back(i);
            else
                m_exact[recipe.rules[i].match] = i;  // a later rule replaces an earlier one
        }
        for (const auto& pattern : recipe.keep) {
            if (hasWildcard(pattern))
                m_keepGlobs.push_back(&pattern);
            else
                m_keepExact.emplace(pattern, true);
        }
    }

    bool keeps(const std::string& name) const
    {
        return m_keepExact.contains(name)
            || std::any_of(m_keepGlobs.begin(), m_keepGlobs.end(),
                [&](const std::string* pattern) { return globMatches(*pattern, name); });
    }

    const LayerPlan& planFor(const std::string& name) const
    {
        const auto exact = m_exact.find(name);
        for (auto glob = m_globs.rbegin(); glob != m_globs.rend(); ++glob) {
            if (exact != m_exact.end() && exact->second > *glob)
                break;
            if (globMatches(m_recipe.rules[*glob].match, name))
                return m_recipe.rules[*glob].plan;
        }
        return exact == m_exact.end() ? m_recipe.defaultPlan : m_recipe.rules[exact->second].plan;
    }

private:
    const Recipe& m_recipe;
    std::vector<std::size_t> m_globs;
    std::unordered_map<std::string, std::size_t> m_exact;
    std::vector<const std::string*> m_keepGlobs;
    std::unordered_map<std::string, bool> m_keepExact;
};

std::optional<std::size_t> findRole(const ModelCatalog& model, TensorRole role)
{
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (model.tensors[i].parts.role == role && model.tensors[i].shape.size() == 2)
            return i;
    return std::nullopt;
}

}  // namespace

std::optional<std::size_t> tiedHead(const ModelCatalog& model)
{
    if (!model.config.tiedEmbeddings)
        return std::nullopt;
    const auto embedding = findRole(model, TensorRole::Embedding);
    const auto head = findRole(model, TensorRole::LmHead);
    if (!embedding || !head || model.tensors[*embedding].shape != model.tensors[*head].shape)
        return std::nullopt;
    return head;
}

std::vector<std::optional<LayerPlan>> decide(const Recipe& recipe, const ModelCatalog& model)
{
    const RuleIndex rules(recipe);
    std::vector<std::optional<LayerPlan>> plans(model.tensors.size());
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        if (tensor.quantizable && !rules.keeps(tensor.name))
            plans[i] = rules.planFor(tensor.name);
    }
    const auto head = tiedHead(model);
    const auto embedding = findRole(model, TensorRole::Embedding);
    if (head && embedding)
        plans[*head] = plans[*embedding];
    return plans;
}

Plan resolve(const Recipe& recipe, const ModelCatalog& model)
{
    const auto plans = decide(recipe, model);
    const auto tied = tiedHead(model);
    Plan plan;
    plan.tensors.reserve(model.tensors.size());
    std::uint64_t parameters = 0;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        auto& planned = plan.tensors.emplace_back();
        planned.tensor = i;
        planned.bytes = tensor.bytes;
        const auto& decided = plans[i];
        if (decided) {
            planned.scheme = decided->weights;
            const auto& activations = decided->activations ? decided->activations : recipe.activations;
            if (activations)
                planned.activations = *activations;
            planned.bytes = decided->weights.storedBytes(tensor.matrix);
        }
        if (tied == i) {
            planned.bytes = 0;
        } else {
            parameters += tensor.parameters();
            plan.bytes += planned.bytes;
            plan.baseBytes += tensor.bytes;
            if (decided)
                plan.quantizedParameters += tensor.parameters();
        }
    }
    plan.bitsPerWeight = parameters == 0 ? 0.0 : double(plan.bytes) * 8.0 / double(parameters);
    return plan;
}

}  // namespace quantloupe
