// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/decoder.h"
#include "core/inference/weights.h"
#include "core/recipes/plan.h"

#include <cstddef>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// A layer with quantized weights and inputs that cannot be computed in integers, and why.
struct FloatingLayer {
    std::size_t tensor = 0;
    std::string reason {};
};

/// A plan whose layers are computed in integers where that can be.
struct IntegerPlan {
    std::vector<PlannedTensor> integers {};  ///< those layers: W8A8, W4A8 and the like
    std::vector<FloatingLayer> floating {};  ///< others with quantized inputs: rounded, and multiplied in float
    Plan rest {};                            ///< the plan without the activations that integer layers see to
};

/// Layers of blocks with integer weights (tensor, channel, group) and inputs quantized token by token run as
/// IntegerLayer. @pre the plan is of the decoder's model
IntegerPlan planIntegers(const Decoder& decoder, const Plan& plan);

/// The weights of such a plan: integer layers with the codes of fake quantization, and the others as `others` has them
/// (quantizedWeights() of the rest). The hook borrows the model. Errors of the hook: those of quantizedWeights() and
/// of `others`, Malformed (weights that are not finite, by tensor).
WeightHook integerWeights(const Model& model, const IntegerPlan& plan, WeightHook others, std::stop_token stop);

}  // namespace quantloupe
