// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/measure.h"
#include "core/analysis/row_tiles.h"

#include <cmath>
#include <utility>

namespace quantloupe {

namespace {

constexpr std::size_t pivotRows = 16;

/// A number near the mean, to take moments about. Rounded to a float: a constant tensor then has σ = 0 exactly.
double choosePivot(const ModelTensor& tensor)
{
    double sum = 0.0;
    std::uint64_t count = 0;
    const auto sample = sampleRows(tensor, pivotRows);
    for (const float weight : sample.weights) {
        if (!std::isfinite(weight))
            continue;
        sum += static_cast<double>(weight);
        ++count;
    }
    return count == 0 ? 0.0 : static_cast<double>(static_cast<float>(sum / static_cast<double>(count)));
}

}  // namespace

RowSample sampleRows(const ModelTensor& tensor, std::size_t count)
{
    const auto shape = matrixShape(tensor.view);
    if (shape.elements() == 0)
        return {};
    const auto columns = static_cast<std::size_t>(shape.columns);
    const auto rows = static_cast<std::size_t>(std::min<std::uint64_t>(count, shape.rows));
    RowSample sample {.rows = std::vector<std::uint64_t>(rows), .weights = std::vector<float>(rows * columns)};
    for (std::size_t i = 0; i < rows; ++i) {
        sample.rows[i] = shape.rows * i / rows;
        decodeRows(tensor.view, sample.rows[i], 1, std::span(sample.weights).subspan(i * columns, columns));
    }
    return sample;
}

Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    const double pivot = choosePivot(tensor);
    const auto [firstHalf, secondHalf] = progress.split(0.5);

    std::vector<float> rowAbsMax(static_cast<std::size_t>(shape.rows));
    const auto ranges = reduceTiles<WeightRanges>(
        tensor, stop, firstHalf, [&] { return WeightRanges(pivot, static_cast<std::size_t>(shape.columns)); },
        [&](WeightRanges& sums, const RowTile& tile) {
            sums.add(
                tile.weights, std::span(rowAbsMax).subspan(static_cast<std::size_t>(tile.firstRow), tile.rowCount));
        });
    if (!ranges)
        return tl::unexpected(ranges.error());

    // σ and the range are needed before anything can be counted against them: hence the second pass.
    const auto spread = reduceTiles<WeightSpread>(
        tensor, stop, secondHalf, [&] { return WeightSpread(*ranges); },
        [](WeightSpread& counts, const RowTile& tile) { counts.add(tile.weights); });
    if (!spread)
        return tl::unexpected(spread.error());
    return summarize(*ranges, *spread, std::move(rowAbsMax));
}

Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, Progress& progress)
{
    return measureWeights(tensor, std::move(stop), ProgressShare(progress, tensor.bytes()));
}

}  // namespace quantloupe
