// SPDX-License-Identifier: GPL-3.0-or-later
// What is the most that can be had for so many bits. For use inside this room.
#pragma once

#include "core/analysis/audit.h"
#include "core/base/progress_share.h"

#include <stop_token>
#include <vector>

namespace quantloupe {

/// Of each family of number formats the largest scheme that takes at most so many bits per weight of this matrix, in a
/// fixed order; all built.
std::vector<Scheme> schemesWithin(double bitsPerWeight, const MatrixShape& shape);

/// The best of schemesWithin() on `original`, of whose rows some stand for all where it is large. `audited`: the same
/// rows of a checkpoint. Nothing where no scheme is that small. Errors: Cancelled.
Result<std::optional<BestScheme>> findBestScheme(const ModelTensor& original, const TensorView& audited,
    double bitsPerWeight, std::stop_token stop, const ProgressShare& progress);

/// Errors of the rows of `view` against those of `original`, to which `added` is added. @pre same matrix shape
Result<ErrorStatistics> compareRows(const ModelTensor& original, const TensorView& view, float added,
    std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
