// SPDX-License-Identifier: GPL-3.0-or-later
// What a layer's outputs lose. For use inside this room.
#pragma once

#include "core/analysis/prepared_scheme.h"
#include "core/study/measurement.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// E‖(W − Ŵ)·x‖² = tr(E·M·Eᵀ) with M = E x·xᵀ of the calibration, for each scheme; weights that are not finite count
/// as 0, what biascorr adds to the outputs is taken off. Of a stack, the mean over all tokens that its experts saw.
/// Products in float32 over blocks of rows, sums in double in the order of the rows: the same bits for any number of
/// threads. Zeros where the calibration holds no moments. Errors: Cancelled, those of loading the inputs. @pre
/// tensor.inputs, its bytes are held
Result<std::vector<OutputError>> measureOutputErrors(const ModelTensor& tensor, std::span<const PreparedScheme> schemes,
    std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
