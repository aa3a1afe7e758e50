// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/weights.h"
#include "core/model/model.h"
#include "core/recipes/plan.h"

#include <stop_token>

namespace quantloupe {

/// The weights of a model as a plan makes them: each tensor with a scheme is quantized and decoded again when a forward
/// pass reads it, by its algorithms and with what they must know of the whole tensor, as `analyze` does. The hook
/// borrows the model. Errors: Unsupported (a scheme that is not built), Conflict (a plan of another model); of the
/// hook: Cancelled, those of reading weights.
Result<WeightHook> quantizedWeights(const Model& model, const Plan& plan, std::stop_token stop);

}  // namespace quantloupe
