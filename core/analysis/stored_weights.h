// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/weights.h"
#include "core/model/model.h"
#include "core/recipes/plan.h"

#include <stop_token>

namespace quantloupe {

/// The weights of a model as checkpoints of a plan hold them, to the bit: unlike those of quantizedWeights() with
/// scales as they are stored, and codes by these. The hook borrows the model. @pre plan is of the model
WeightHook storedWeights(const Model& model, const Plan& plan, std::stop_token stop);

}  // namespace quantloupe
