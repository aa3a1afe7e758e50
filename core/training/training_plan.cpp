// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/training_plan.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

Result<TrainingPlan> planTraining(const Model& model, Recipe recipe, const UntrainedTensors& untrained)
{
    const auto catalog = catalogOf(model);
    TrainingPlan result {.recipe = std::move(recipe)};
    result.plan = resolve(result.recipe, catalog);
    for (const auto& planned : result.plan.tensors)
        if (planned.activations && planned.activations->granularity.kind == Granularity::Kind::Channel)
            return failure(ErrorCode::Unsupported, "recipe",
                "activations '" + planned.activations->toString()
                    + "' have a scale per channel, which must be known before they come, and training changes what "
                      "comes: use token, gN or tensor");
    for (const auto tensor : untrained(result.plan)) {
        result.kept.push_back(model.tensors[tensor].name);
        result.recipe.keep.push_back(result.kept.back());
    }
    if (!result.kept.empty())
        result.plan = resolve(result.recipe, catalog);
    return result;
}

Result<void> requireFloatingInputs(const Plan& plan)
{
    if (std::any_of(plan.tensors.begin(), plan.tensors.end(),
            [](const PlannedTensor& planned) { return planned.activations.has_value(); }))
        return failure(ErrorCode::Unsupported, "recipe",
            "layers that are trained by themselves see the original's inputs: name weights alone, or train end to end");
    return {};
}

Recipe withoutAlgorithms(Recipe recipe)
{
    recipe.defaultPlan.weights.algorithms.clear();
    for (auto& rule : recipe.rules)
        rule.plan.weights.algorithms.clear();
    return recipe;
}

}  // namespace quantloupe
