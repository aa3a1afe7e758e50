// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/hadamard_rotation.h"
#include "core/calibration/layer_inputs.h"

#include <span>

namespace quantloupe {

/// What calibration would have taught about x/scales, which a layer sees whose columns were multiplied by them.
/// @pre one finite scale > 0 per column
LayerInputs scaledInputs(const LayerInputs& inputs, std::span<const float> scales);

/// The same about x·R, which a layer W·R sees: moments, mean and sample are rotated; the sizes |x| become those of the
/// sample, or unknown. @pre the rotation is of inputs.columns; values fit in float
LayerInputs rotatedInputs(const LayerInputs& inputs, const HadamardRotation& rotation);

}  // namespace quantloupe
