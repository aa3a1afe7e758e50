// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"
#include "core/recipes/plan.h"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace quantloupe {

/// What of a recipe can be trained. Tensors that are not, stay as stored: rounded afterwards they would be none of what
/// was evaluated.
struct TrainingPlan {
    Recipe recipe {};
    Plan plan {};                      ///< recipe, resolved
    std::vector<std::string> kept {};  ///< tensors that the recipe was to quantize, in file order
};

/// Tensors that a plan quantizes and that cannot be trained, such as Student::untrained().
using UntrainedTensors = std::function<std::vector<std::size_t>(const Plan& plan)>;

/// Errors: Unsupported (inputs of layers by a scale per channel, which somebody must know before they come).
Result<TrainingPlan> planTraining(const Model& model, Recipe recipe, const UntrainedTensors& untrained);

/// Of layers that are trained by themselves. Errors: Unsupported (the plan quantizes inputs of layers).
Result<void> requireFloatingInputs(const Plan& plan);

/// The recipe without algorithms, which training takes the place of.
Recipe withoutAlgorithms(Recipe recipe);

}  // namespace quantloupe
