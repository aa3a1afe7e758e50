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
    if (std::any_of(result.plan.tensors.begin(), result.plan.tensors.end(),
            [](const PlannedTensor& planned) { return planned.activations.has_value(); }))
        return failure(ErrorCode::Unsupported, "recipe",
            "inputs of layers cannot be quantized in training yet: name weights alone");
    for (const auto tensor : untrained(result.plan)) {
        result.kept.push_back(model.tensors[tensor].name);
        result.recipe.keep.push_back(result.kept.back());
    }
    if (!result.kept.empty())
        result.plan = resolve(result.recipe, catalog);
    return result;
}

Recipe withoutAlgorithms(Recipe recipe)
{
    recipe.defaultPlan.weights.algorithms.clear();
    for (auto& rule : recipe.rules)
        rule.plan.weights.algorithms.clear();
    return recipe;
}

}  // namespace quantloupe
