// SPDX-License-Identifier: GPL-3.0-or-later
// The steps of an analysis, each with its share of the progress bar. For use inside this room.
#pragma once

#include "core/analysis/analyze.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/row_tiles.h"
#include "core/base/progress_share.h"
#include "core/model/hold_readable.h"

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// `pages`: how its last pass leaves them; Kept: the caller releases them.
Result<WeightStatistics> measureWeights(
    const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress, Pages pages = Pages::Released);

Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, const Model* model, std::stop_token stop, const ProgressShare& progress);

/// The one pass over the tensor through all the schemes. `bins` of the error histograms may be 0.
Result<std::vector<SchemeMeasurement>> measureErrors(const ModelTensor& tensor, std::span<const PreparedScheme> schemes,
    std::size_t bins, std::stop_token stop, const ProgressShare& progress);

/// The measurement of a scheme before its pass: sizes and room for the rows' figures.
SchemeMeasurement describeSizes(const Scheme& scheme, const MatrixShape& shape);

/// Some rows of a tensor.
struct RowSample {
    std::vector<std::uint64_t> rows {};  ///< which, ascending
    std::vector<float> weights {};       ///< decoded, one row behind the other
};

/// At most `count` rows, evenly spaced over the tensor.
RowSample sampleRows(const ModelTensor& tensor, std::size_t count);

}  // namespace quantloupe
