// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/layer_inputs.h"
#include "core/number_formats/quantizer.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What each column is multiplied by, and its inputs divided by, so that outliers of activations become those of
/// weights: s = max(max|x|^α / max(max|w|, 1e-5)^(1−α), 1e-5), max|w| over the column (Xiao et al. 2022, arXiv
/// 2211.10438). For several layers that read the same inputs hand over their rows one above the other.
/// @pre weights are whole rows; one input maximum per column; α in 0 … 1
std::vector<float> smoothingScales(std::span<const float> weights, std::span<const float> inputAbsMax, double alpha);

/// Which α serves a layer best whose inputs are quantized, too.
struct SmoothingSearch {
    double alpha = 0.5;
    std::vector<double> losses {};  ///< relative squared error of the outputs for α = 0, 0.05 … 1
};

/// The first α of least output error on the sample, with weights by one scheme and each token's inputs by another, as
/// int8:channel is for one scale per token. Errors: InvalidArgument (no sample, no maxima), Cancelled.
/// @pre checkLayerInputs(inputs); weights are rowCount × inputs.columns, finite; both quantizers have grids
Result<SmoothingSearch> searchSmoothing(const Quantizer& weightQuantizer, const Quantizer& inputQuantizer,
    std::span<const float> weights, std::size_t rowCount, const LayerInputs& inputs, std::stop_token stop);

}  // namespace quantloupe
