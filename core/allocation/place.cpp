// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"

#include "core/base/not_a_number.h"
#include "core/recipes/edit.h"

namespace quantloupe {
TradeOffPoint placeOf(const Recipe& recipe, const StudySnapshot& study, std::string label, ErrorMetric metric)
{
    const auto plan = resolve(recipe, study.model);
    const auto tied = tiedHead(study.model);
    const auto context = metricContext(study);
    double error = 0.0;
    for (const auto& planned : plan.tensors) {
        if (!planned.scheme || tied == planned.tensor)
            continue;
        const auto& all = study.of(study.model.tensors[planned.tensor].name);
        const auto measured = all.find(planned.scheme->toString());
        error += measured == all.end() ? notANumber : valueOf(metric, all, *measured->second, context);
    }
    return {std::move(label), plan.bytes, plan.bitsPerWeight, error};
}

Recipe recipeAt(const Frontier& frontier, std::size_t point, const StudySnapshot& study, const Recipe& base)
{
    return recipeOf(frontier.groups, frontier.choice(point), study, base);
}

Recipe recipeOf(const std::vector<AllocationGroup>& groups, const std::vector<std::uint32_t>& choice,
    const StudySnapshot& study, const Recipe& base)
{
    const auto before = decide(base, study.model);
    std::vector<std::optional<LayerPlan>> plans(study.model.tensors.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
        const auto& group = groups[i];
        const auto scheme = Scheme::parse(group.options[choice[i]].scheme);
        if (!scheme)
            continue;  // empty: stays as stored
        for (const auto tensor : group.tensors) {
            auto& plan = plans[tensor].emplace();
            plan.weights = *scheme;
            if (const auto& old = before[tensor]; old && old->activations)
                plan.activations = *old->activations;
        }
    }
    return recipeFor(study.model, plans, base);
}

}  // namespace quantloupe
