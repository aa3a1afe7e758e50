// SPDX-License-Identifier: GPL-3.0-or-later
// For use inside this room.
#pragma once

#include "core/analysis/prepared_scheme.h"
#include "core/base/error.h"
#include "core/model/model.h"

#include <cstddef>
#include <stop_token>

namespace quantloupe {

/// A scheme made ready, and what its tensor was measured to be for that.
struct PreparedTensor {
    WeightStatistics weights;
    PreparedScheme scheme;
};

/// Makes a scheme ready for a tensor (an index into Model::tensors), as `analyze` does, with what it must know of the
/// whole of it. Errors: Unsupported (the scheme), Cancelled, those of reading weights.
Result<PreparedTensor> prepareTensor(
    const Model& model, std::size_t tensor, const Scheme& scheme, const std::stop_token& stop);

}  // namespace quantloupe
