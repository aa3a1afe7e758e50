// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/cli/output.h"

#include "core/calibration/model_calibration.h"
#include "core/model/model.h"

namespace quantloupe::cli {

/// What calibration taught, input by input in the order of the model's tensors: ranges, how much the figures still
/// move, and what too few tokens have covered.
Findings calibrationFindings(const ModelCalibration& calibration, const Model& model);

}  // namespace quantloupe::cli
