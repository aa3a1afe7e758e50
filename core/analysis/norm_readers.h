// SPDX-License-Identifier: GPL-3.0-or-later
// For use inside this room.
#pragma once

#include "core/base/error.h"
#include "core/inference/decoder.h"
#include "core/recipes/plan.h"

#include <cstddef>
#include <vector>

namespace quantloupe {

/// Layers that read what a norm gives.
struct NormReaders {
    std::size_t norm = 0;  ///< its tensor
    std::vector<LinearLayer> layers {};

    std::vector<std::size_t> tensors() const;  ///< each once
};

/// The norms whose readers `plan` smooths, in the order of the model.
/// Errors: InvalidArgument (layers with the same inputs, of which only some are smoothed, naming one), Conflict (the
/// plan is of another model).
Result<std::vector<NormReaders>> smoothedReaders(const Decoder& decoder, const Plan& plan);

}  // namespace quantloupe
