// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/quantized_activations.h"
#include "core/base/error.h"
#include "core/inference/forward.h"
#include "core/model/model.h"
#include "core/recipes/plan.h"

#include <optional>
#include <stop_token>

namespace quantloupe {

/// A model as a plan makes it when a runtime runs it: quantized weights (quantized_weights.h), the inputs of the layers
/// and the cache (quantized_activations.h). Layers without ranges take those of the tokens at hand. The hooks borrow
/// the model. Errors: those of the three.
Result<ForwardHooks> quantizedModel(const Model& model, const Plan& plan, const std::optional<Scheme>& keyValueCache,
    const ActivationRanges& ranges, std::stop_token stop);

}  // namespace quantloupe
