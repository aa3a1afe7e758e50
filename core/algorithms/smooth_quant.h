// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/layer_inputs.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What each column is multiplied by, and its inputs divided by, so that outliers of activations become those of
/// weights: s = max(max|x|^α / max(max|w|, 1e-5)^(1−α), 1e-5), max|w| over the column (Xiao et al. 2022, arXiv
/// 2211.10438). For several layers that read the same inputs hand over their rows one above the other.
/// @pre weights are whole rows; one input maximum per column; α in 0 … 1
std::vector<float> smoothingScales(std::span<const float> weights, std::span<const float> inputAbsMax, double alpha);

/// Rounds rows of inputs in place, as a runtime does to what reaches a layer, each column divided by its scale.
using InputRounding = std::function<void(std::span<float> rows)>;

/// A layer that reads smoothed inputs. Borrows all of it.
struct SmoothedLayer {
    std::span<const float> weights {};  ///< rowCount × inputs->columns, finite
    std::size_t rowCount = 0;
    const Quantizer* quantizer = nullptr;  ///< of the weights; with grids
    const LayerInputs* inputs = nullptr;   ///< with a sample and the largest sizes
    /// How its inputs are rounded that were divided by these scales; asked once for each α.
    std::function<Result<InputRounding>(std::span<const float> scales)> rounding {};
};

/// Which α serves layers best whose inputs are quantized, too.
struct SmoothingSearch {
    double alpha = 0.5;
    std::vector<double> losses {};  ///< relative squared error of the outputs for α = 0, 0.05 … 1
};

/// The first α of least output error on the samples of layers that share one set of scales, because one operation makes
/// what they all read: errors and outputs are summed over the layers. Parallel inside the caller's arena.
/// Errors: InvalidArgument (no sample, no maxima), Cancelled, those of `rounding`.
/// @pre there is a layer; checkLayerInputs() of all inputs, which have the same columns
Result<SmoothingSearch> searchSmoothing(std::span<const SmoothedLayer> layers, std::stop_token stop);

}  // namespace quantloupe
