// SPDX-License-Identifier: GPL-3.0-or-later
// What gradients say that schemes cost. For use inside this room.
#pragma once

#include "core/analysis/prepared_scheme.h"
#include "core/study/measurement.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// PredictedDivergence of each scheme; weights that are not finite count as 0. K-FAC counts what biascorr adds to the
/// outputs, Fisher, which knows weights only, does not; where a layer has too many outputs for products between them,
/// K-FAC takes G as diagonal. Of a stack, each slice by its own, added up. Unknown where a slice that was
/// seen has no gradients, or of K-FAC no second moments. In memory are 12 bytes per weight of a slice, 12 per
/// number of its inputs' moments and 12 of its gradients'. The same bits for any number of threads. Errors: Cancelled,
/// those of loading inputs and gradients.
/// @pre tensor.inputs with loadCurvature, its bytes are held
Result<std::vector<PredictedDivergence>> predictDivergences(const ModelTensor& tensor,
    std::span<const PreparedScheme> schemes, std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
