// SPDX-License-Identifier: GPL-3.0-or-later
// Channels that a quantizer multiplied before it rounded. For use inside this room.
#pragma once

#include "core/base/progress_share.h"
#include "core/base/error.h"
#include "core/model/model.h"

#include <cstdint>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What each weight was multiplied by: rows[i] · columns[j]. AWQ, SmoothQuant and equalization move such factors from
/// one layer into the next, which leaves what the model computes as it was.
struct ChannelFactors {
    std::vector<float> rows {}, columns {};
};

/// The factors by which `view` fits `original` best, by least squares, first the columns, then the rows, in turns.
/// @pre same matrix shape. Errors: Cancelled.
Result<ChannelFactors> fitChannelFactors(
    const ModelTensor& original, const TensorView& view, std::stop_token stop, const ProgressShare& progress);

/// The same matrix with the factors taken out again. A factor of 0 leaves its channel as it is.
TensorView withoutFactors(const TensorView& view, ChannelFactors factors);

}  // namespace quantloupe
