// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/gptq.h"
#include "core/calibration/layer_inputs.h"

#include <span>

namespace quantloupe {

/// How often coordinate descent goes through all columns, at most.
constexpr std::size_t coordinateSweeps = 3;

/// Moves codes on their grids, one column after the other, to where tr(E·H′·Eᵀ) is least while all others stay:
/// E = W − Ŵ, H′ the second moments with `damping` times their mean on the diagonal. Never raises it, but for rounding.
/// A sweep that changes nothing ends it. Blocks of rows run in parallel with the same bits for any number of threads.
/// False: stopped. @pre the moments are there; codes and grids are those of the quantizer for these weights
bool descendCodes(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, double damping, RoundedLayer& layer, const Workload& work);

}  // namespace quantloupe
