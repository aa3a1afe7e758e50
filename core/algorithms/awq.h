// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/layer_inputs.h"
#include "core/number_formats/quantizer.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// How many exponents AWQ tries: 0, 0.05 … 0.95.
constexpr std::size_t awqRatios = 20;

/// Factors of columns that make loud input channels' weights large before they are rounded.
struct AwqScales {
    std::vector<float> scales {};   ///< what each column is multiplied by, and its inputs divided by
    double ratio = 0.0;             ///< the exponent of E |x| that was best; 0: none are worth it
    std::vector<double> losses {};  ///< mean squared error of the layer's outputs, by exponent
};

/// AWQ's scale search (Lin et al. 2023, arXiv 2306.00978) with the layer itself as what is looked at:
/// s = max(E|x|^ratio, 1e-4), then s / √(max s · min s); the first ratio of least error of Q(W·s)/s on the sample, or
/// by the second moments where there is none. For several layers that read the same inputs hand over their rows one
/// above the other. Errors: InvalidArgument (neither mean |x| nor a sample; neither a sample nor moments), Cancelled.
/// @pre checkLayerInputs(inputs); weights are rowCount × inputs.columns, finite; the quantizer has grids
Result<AwqScales> searchAwqScales(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, std::stop_token stop);

/// AWQ's clipping: for each unit the range whose rounding changes the unit's own share of the output least, of those
/// cut at ±(1 − i/20) of its largest |w|, i = 0 … 9. About 512 tokens of the sample are looked at, the second moments
/// where there is none. Grids and where they were cut, unit by unit; no grids: stopped.
/// @pre as above, and units are groups or channels; weights and inputs after scaling
struct ClippedGrids {
    std::vector<UnitGrid> grids {};
    std::vector<float> limits {};
};
ClippedGrids searchClippedGrids(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, const std::stop_token& stop);

}  // namespace quantloupe
