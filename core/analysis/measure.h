// SPDX-License-Identifier: GPL-3.0-or-later
// The steps of an analysis, each with its share of the progress bar. For use inside this room.
#pragma once

#include "core/analysis/analyze.h"
#include "core/analysis/progress_share.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress);

Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, const ProgressShare& progress);

/// Errors: Unsupported when the tensor's dtype cannot be decoded.
Result<void> requireDecodable(const ModelTensor& tensor);

/// At most `count` rows, evenly spaced over the tensor, decoded one behind the other.
std::vector<float> sampleRows(const ModelTensor& tensor, std::size_t count);

}  // namespace quantloupe
