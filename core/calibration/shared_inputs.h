// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/input_figures.h"
#include "core/inference/decoder.h"

#include <cstddef>
#include <vector>

namespace quantloupe {

/// Linear layers that read the same inputs.
struct SharedInput {
    std::vector<LinearLayer> layers;  ///< in the order of the operations, at least one
    double share = 1.0;               ///< of the tokens that come here, on average: an expert sees only some

    std::size_t columns() const { return layers.front().inputs; }
};

/// Those of a block, in the order of the operations: attention's q, k and v; its output; gate and up (with the router
/// and the shared expert's gate of a mixture); down; of a mixture, the last two for every expert.
std::vector<SharedInput> sharedInputsOf(const Decoder& decoder, std::size_t block);

LayerName nameOf(const Decoder& decoder, const LinearLayer& layer);

}  // namespace quantloupe
