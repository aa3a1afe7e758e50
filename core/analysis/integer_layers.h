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
    std::vector<std::size_t> tensors {};     ///< those layers' weights: W8A8, W4A8 and the like
    std::vector<FloatingLayer> floating {};  ///< others with quantized inputs: rounded, and multiplied in float
    WeightHook weights {};                   ///< of all tensors, the others as quantizedWeights() makes them
    Plan rest {};                            ///< the plan without the activations that integer layers see to
};

/// Layers of blocks with integer weights (tensor, channel, group) and inputs quantized token by token run as
/// IntegerLayer; the codes are those of fake quantization. The hook borrows the model.
/// Errors: those of quantizedWeights(); of the hook: likewise, and Malformed (weights that are not finite, by tensor).
Result<IntegerPlan> integerLayers(const Decoder& decoder, const Plan& plan, std::stop_token stop);

}  // namespace quantloupe
