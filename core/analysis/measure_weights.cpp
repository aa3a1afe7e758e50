// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/measure.h"
#include "core/analysis/row_tiles.h"
#include "core/kernels/float_bits.h"
#include "core/kernels/half_counts.h"

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

/// Smaller tensors are looked at twice in the time it takes to look through all patterns.
constexpr std::uint64_t fewWeights = std::uint64_t {1} << 20U;

/// Counters of a thread hold as many.
constexpr std::uint64_t mostCounted = std::uint64_t {1} << 32U;

/// Whether rows lie in the file as 16-bit floats, one after the other.
bool liesAsHalves(const TensorView& view)
{
    return (view.dtype == DType::F16 || view.dtype == DType::BF16) && !view.transposed && !view.decoder
        && !view.deferred;
}

/// The number of each pattern of a 16-bit float. @pre liesAsHalves()
const std::vector<float>& valuesOfHalves(DType dtype)
{
    const auto made = [](auto toFloat) {
        std::vector<float> values(kernels::halfPatterns);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = toFloat(static_cast<std::uint16_t>(i));
        return values;
    };
    static const auto halves = made(halfToFloat), brains = made(bfloat16ToFloat);
    return dtype == DType::F16 ? halves : brains;
}

/// There are so few 16-bit floats that counting each tells all, without decoding and in one pass.
Result<WeightStatistics> countWeights(
    const ModelTensor& tensor, double pivot, std::stop_token stop, const ProgressShare& progress, Pages pages)
{
    const bool isHalf = tensor.view.dtype == DType::F16;
    const auto& values = valuesOfHalves(tensor.view.dtype);
    const auto shape = matrixShape(tensor.view);
    const auto columns = static_cast<std::size_t>(shape.columns);
    /// Of one thread: counts and maxima may be joined in any order.
    struct Counted {
        std::vector<std::uint32_t> patterns = std::vector<std::uint32_t>(kernels::halfPatterns);
        std::vector<std::uint16_t> columnAbsMax;
    };
    tbb::enumerable_thread_specific<Counted> counted(
        [&] { return Counted {.columnAbsMax = std::vector<std::uint16_t>(columns)}; });
    std::vector<float> rowAbsMax(static_cast<std::size_t>(shape.rows));
    struct Nothing {
        Nothing& operator+=(const Nothing&) { return *this; }
    };
    const auto done = reduceRows<Nothing>(
        tensor, std::move(stop), progress, [] { return Nothing {}; },
        [&](Nothing&, std::uint64_t firstRow, std::uint64_t rowCount) {
            auto& own = counted.local();
            for (auto row = firstRow; row < firstRow + rowCount; ++row)
                rowAbsMax[row] = values[kernels::countHalves(tensor.view.bytes.subspan(2 * row * columns, 2 * columns),
                    isHalf ? 0x7C00 : 0x7F80, own.patterns, own.columnAbsMax)];
        },
        pages);
    if (!done)
        return tl::unexpected(done.error());
    std::vector<std::uint64_t> counts(kernels::halfPatterns);
    WeightRanges ranges(pivot, columns);
    for (const auto& own : counted) {
        for (std::size_t i = 0; i < counts.size(); ++i)
            counts[i] += own.patterns[i];
        for (std::size_t i = 0; i < columns; ++i)
            ranges.columnAbsMax[i] = std::max(ranges.columnAbsMax[i], values[own.columnAbsMax[i]]);
    }
    ranges.add(values, counts);
    WeightSpread spread(ranges);
    spread.add(values, counts);
    return summarize(ranges, spread, std::move(rowAbsMax));
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

Result<WeightStatistics> measureWeights(
    const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress, Pages pages)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    const double pivot = choosePivot(tensor);
    if (liesAsHalves(tensor.view) && shape.elements() >= fewWeights && shape.elements() < mostCounted)
        return countWeights(tensor, pivot, std::move(stop), progress, pages);
    const auto [firstHalf, secondHalf] = progress.split(0.5);

    std::vector<float> rowAbsMax(static_cast<std::size_t>(shape.rows));
    const auto ranges = reduceTiles<WeightRanges>(
        tensor, stop, firstHalf, [&] { return WeightRanges(pivot, static_cast<std::size_t>(shape.columns)); },
        [&](WeightRanges& sums, const RowTile& tile) {
            sums.add(
                tile.weights, std::span(rowAbsMax).subspan(static_cast<std::size_t>(tile.firstRow), tile.rowCount));
        },
        betweenPasses(tensor));
    if (!ranges)
        return tl::unexpected(ranges.error());

    // σ and the range are needed before anything can be counted against them: hence the second pass.
    const auto spread = reduceTiles<WeightSpread>(
        tensor, stop, secondHalf, [&] { return WeightSpread(*ranges); },
        [](WeightSpread& counts, const RowTile& tile) { counts.add(tile.weights); }, pages);
    if (!spread)
        return tl::unexpected(spread.error());
    return summarize(*ranges, *spread, std::move(rowAbsMax));
}

Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, Progress& progress)
{
    return measureWeights(tensor, std::move(stop), ProgressShare(progress, tensor.bytes()));
}

}  // namespace quantloupe
