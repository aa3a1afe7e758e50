// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/input_figures.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quantloupe {

/// A text that gradients were taken on.
struct GradientText {
    std::string name {};            ///< for people
    std::string identity {};        ///< identityOf() its windows, and whether the weights' gradients were gathered
    std::uint64_t predictions = 0;  ///< whose losses −log p were summed up, in nats
    std::uint64_t windows = 0;

    bool operator==(const GradientText&) const = default;
};

/// What one backward pass taught about a linear layer y = W·x, without the large parts.
struct GradientFigures {
    LayerName layer {};
    GradientText text {};
    std::uint64_t columns = 0;       ///< of the layer's inputs
    std::vector<double> squares {};  ///< Σ g² over the tokens by output, g = ∂loss/∂y
    InputFileReference file {};      ///< core/calibration/gradient_file.h

    std::size_t outputs() const { return squares.size(); }
    bool operator==(const GradientFigures&) const = default;
};

/// Whether the layer and the text have names, and there are outputs, inputs and predictions.
inline bool isWhole(const GradientFigures& figures)
{
    return !figures.layer.tensor.empty() && !figures.text.identity.empty() && figures.text.predictions > 0
        && figures.columns > 0 && figures.outputs() > 0;
}

}  // namespace quantloupe
