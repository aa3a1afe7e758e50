// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <vector>

namespace quantloupe {

/// How sharply a text's loss bends along the outputs y = W·x of one linear layer and along its weights, from the
/// gradients of one backward pass: what a change of the weights costs, in nats per prediction. Plain data.
struct LayerCurvature {
    std::size_t outputs = 0, columns = 0;
    std::vector<float> outputMoments {};  ///< E g·gᵀ, outputs × outputs, symmetric; empty: too many outputs
    std::vector<float> outputSquares {};  ///< E g² by output, g = ∂loss/∂y
    std::vector<float> fisher {};  ///< Σ (∂loss/∂W)² over windows, per prediction, outputs × columns; or empty
    bool operator==(const LayerCurvature&) const = default;
};

}  // namespace quantloupe
