// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/model_calibration.h"
#include "core/calibration/importance_matrix.h"
#include "core/model/model.h"

namespace quantloupe {

/// What calibration taught as llama.cpp's importance matrix, under the names that GGUF gives the tensors: Σ x² by
/// channel and the tokens seen, of every layer but the output head, as llama.cpp's program has it. Experts that are
/// stored one by one become the entry of their stack.
ImportanceMatrix importanceOf(const ModelCalibration& calibration, const Model& model);

}  // namespace quantloupe
