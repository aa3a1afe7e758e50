// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/hadamard_rotation.h"
#include "core/calibration/layer_inputs.h"

#include <span>
#include <stop_token>

namespace quantloupe {

/// What calibration would have taught about x/scales, which a layer sees whose columns were multiplied by them.
/// Works on the threads of the caller's arena; what a stop leaves is of no use.
/// @pre one finite scale > 0 per column
LayerInputs scaledInputs(const LayerInputs& inputs, std::span<const float> scales, const std::stop_token& stop = {});

/// The same about x·R, which a layer W·R sees: moments, mean and sample are rotated; the sizes |x| become those of the
/// sample, or unknown. Threads and stop as above. @pre the rotation is of inputs.columns; values fit in float
LayerInputs rotatedInputs(
    const LayerInputs& inputs, const HadamardRotation& rotation, const std::stop_token& stop = {});

}  // namespace quantloupe
