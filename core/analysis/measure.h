// SPDX-License-Identifier: GPL-3.0-or-later
// The steps of an analysis, each with its share of the progress bar. For use inside this room.
#pragma once

#include "core/analysis/analyze.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/progress_share.h"

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress);

Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, const Model* model, std::stop_token stop, const ProgressShare& progress);

/// The one pass over the tensor through all the schemes. `bins` of the error histograms may be 0.
Result<std::vector<SchemeMeasurement>> measureErrors(const ModelTensor& tensor, std::span<const PreparedScheme> schemes,
    std::size_t bins, std::stop_token stop, const ProgressShare& progress);

/// The measurement of a scheme before its pass: sizes and room for the rows' figures.
SchemeMeasurement describeSizes(const Scheme& scheme, const MatrixShape& shape);

/// Makes a tensor readable for as long as what is returned lives. Errors: Unsupported when its dtype cannot be decoded,
/// Truncated when its file has become shorter since it was opened (reading a mapping beyond its file's end would end
/// the program), those of holdBytes().
Result<HeldBytes> holdReadable(const ModelTensor& tensor, std::stop_token stop);

/// Some rows of a tensor.
struct RowSample {
    std::vector<std::uint64_t> rows {};  ///< which, ascending
    std::vector<float> weights {};       ///< decoded, one row behind the other
};

/// At most `count` rows, evenly spaced over the tensor.
RowSample sampleRows(const ModelTensor& tensor, std::size_t count);

}  // namespace quantloupe
