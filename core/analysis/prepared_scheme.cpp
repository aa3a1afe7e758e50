// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/prepared_scheme.h"

#include "core/analysis/measure.h"
#include "core/analysis/row_tiles.h"
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/tensor_range_search.h"

#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

constexpr std::size_t stepWeights = 4'096;
constexpr std::size_t rangeRows = 16;

/// The partial sums of several searches that share a pass.
struct SearchPartials {
    std::vector<TensorRangeSearch::Partial> partials;

    SearchPartials& operator+=(const SearchPartials& other)
    {
        for (std::size_t i = 0; i < partials.size(); ++i)
            partials[i] += other.partials[i];
        return *this;
    }
};

Result<void> searchRanges(
    const ModelTensor& tensor, std::vector<TensorRangeSearch>& searches, std::stop_token stop, ProgressShare& progress)
{
    for (;;) {
        std::vector<TensorRangeSearch*> open;
        for (auto& search : searches)
            if (search.needsPass())
                open.push_back(&search);
        if (open.empty())
            return {};
        // How many passes will follow is not known: each takes half of what is left of the bar.
        const auto [share, rest] = progress.split(0.5);
        progress = rest;
        auto totals = reduceTiles<SearchPartials>(
            tensor, stop, share,
            [&] {
                SearchPartials empty;
                for (const auto* search : open)
                    empty.partials.push_back(search->emptyPartial());
                return empty;
            },
            [&](SearchPartials& sums, const RowTile& tile) {
                for (std::size_t i = 0; i < open.size(); ++i)
                    open[i]->add(sums.partials[i], tile.weights);
            });
        if (!totals)
            return tl::unexpected(totals.error());
        for (std::size_t i = 0; i < open.size(); ++i)
            open[i]->finishPass(totals->partials[i]);
    }
}

bool needsAllGrids(const Scheme& scheme)
{
    return scheme.granularity.kind == Granularity::Kind::Block || scheme.scales == ScaleStorage::Double8;
}

/// Bands of rows are fitted side by side, each by itself, so the order of work does not show.
Result<void> fitAllGrids(
    const ModelTensor& tensor, PreparedScheme& scheme, std::stop_token stop, const ProgressShare& progress)
{
    // A band is held in memory whole, once per thread.
    constexpr std::uint64_t mostBandWeights = std::uint64_t {1} << 24U;
    const auto& quantizer = scheme.quantizer;
    const auto shape = matrixShape(tensor.view);
    const auto bandRows = std::min<std::uint64_t>(quantizer.rowsPerUnit(), std::max<std::uint64_t>(1, shape.rows));
    if (bandRows * shape.columns > mostBandWeights)
        return failure(ErrorCode::Unsupported, tensor.name,
            "blocks of " + std::to_string(bandRows)
                + " rows hold more than 16 million weights of this tensor side by side");
    const auto rowsAtOnce = bandRows * std::max<std::uint64_t>(1, RowTiling(shape).rowsPerTile / bandRows);
    auto grids = std::make_shared<std::vector<UnitGrid>>(quantizer.gridCount(static_cast<std::size_t>(shape.rows)));

    tbb::enumerable_thread_specific<std::vector<float>> buffers;
    tbb::task_group_context context;
    {
        const std::stop_callback cancel(stop, [&] { context.cancel_group_execution(); });
        tbb::parallel_for(
            std::uint64_t {0}, (shape.rows + rowsAtOnce - 1) / rowsAtOnce,
            [&](std::uint64_t piece) {
                const auto first = piece * rowsAtOnce;
                const auto count = std::min(rowsAtOnce, shape.rows - first);
                const auto rows = rowsOf(tensor.view, first, count, buffers.local());
                const auto own =
                    std::span(*grids).subspan(static_cast<std::size_t>(first / bandRows) * quantizer.unitsPerRow(),
                        quantizer.gridCount(static_cast<std::size_t>(count)));
                quantizer.fit(rows, static_cast<std::size_t>(count), own);
                progress.advance(first, first + count, shape.rows);
            },
            context);
    }
    if (stop.stop_requested() || context.is_group_execution_cancelled())
        return cancelled(tensor);
    if (quantizer.scheme().scales == ScaleStorage::Double8)
        quantizeScales(quantizer.scheme(), *grids);
    scheme.grids = std::move(grids);
    return {};
}

/// R from a sample of rows: 1.25 × the largest error seen, but no more than the worst case. Where the sample shows no
/// error at all the worst case stands.
double chooseErrorRange(const PreparedScheme& scheme, const RowSample& sample, double absMax)
{
    QuantizerScratch scratch;
    const auto columns = scheme.quantizer.columns();
    const double worst = scheme.quantizer.worstCaseError(absMax);
    double largest = 0.0;
    for (std::size_t r = 0; r < sample.rows.size(); ++r) {
        const auto row = std::span(sample.weights).subspan(r * columns, columns);
        scheme.quantize(sample.rows[r], row, 1, scratch);
        for (std::size_t i = 0; i < columns; ++i)
            if (std::isfinite(row[i]))
                largest = std::max(largest, static_cast<double>(std::abs(row[i] - scratch.quantized[i])));
    }
    double range = 1.25 * largest;
    if (largest == 0.0)
        range = std::isfinite(worst) ? worst : 0.0;
    else if (worst >= largest)  // clipping ranges may exceed what is called the worst case
        range = std::min(range, worst);
    // Histograms are counted against floats.
    return static_cast<double>(std::min(static_cast<float>(range), std::numeric_limits<float>::max()));
}

}  // namespace

std::uint64_t PreparedScheme::quantize(
    std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const
{
    scratch.quantized.resize(rows.size());
    scratch.rowInBand = 0;
    if (grids && quantizer.wholeTensor()) {
        scratch.grids.assign(1, grids->front());
    } else if (grids) {
        scratch.rowInBand = static_cast<std::size_t>(firstRow % quantizer.rowsPerUnit());
        const auto firstBand = static_cast<std::size_t>(firstRow / quantizer.rowsPerUnit());
        const auto own = std::span(*grids).subspan(
            firstBand * quantizer.unitsPerRow(), quantizer.gridCount(scratch.rowInBand + rowCount));
        scratch.grids.assign(own.begin(), own.end());
    } else {
        scratch.grids.resize(quantizer.gridCount(rowCount));
        quantizer.fit(rows, rowCount, scratch.grids);
    }
    return quantizer.fakeQuantize(rows, rowCount, scratch.grids, scratch.quantized, scratch.rowInBand);
}

std::size_t rowsPerStep(std::size_t columns)
{
    return std::max<std::size_t>(1, stepWeights / std::max<std::size_t>(1, columns));
}

Result<std::vector<PreparedScheme>> prepareSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, ProgressShare& progress)
{
    const auto columns = static_cast<std::size_t>(matrixShape(tensor.view).columns);
    std::vector<PreparedScheme> prepared;
    std::vector<TensorRangeSearch> searches;
    std::vector<std::size_t> searched;
    for (const auto& scheme : schemes) {
        auto quantizer = Quantizer::create(scheme, columns);
        if (!quantizer)
            return tl::unexpected(quantizer.error());
        quantizer->setTensorAbsMax(static_cast<float>(weights.absMax));
        if (quantizer->wholeTensor()) {
            searches.emplace_back(*quantizer, static_cast<float>(weights.minimum), static_cast<float>(weights.maximum),
                weights.moments.count);
            searched.push_back(prepared.size());
        }
        prepared.push_back({.quantizer = *quantizer});
    }
    if (auto done = searchRanges(tensor, searches, stop, progress); !done)
        return tl::unexpected(done.error());
    for (std::size_t i = 0; i < searched.size(); ++i) {
        auto& found = prepared[searched[i]];
        std::vector<UnitGrid> grid(1, searches[i].grid());
        if (found.quantizer.scheme().scales == ScaleStorage::Double8)
            quantizeScales(found.quantizer.scheme(), grid);
        found.grids = std::make_shared<const std::vector<UnitGrid>>(std::move(grid));
    }
    for (auto& scheme : prepared)
        if (!scheme.grids && needsAllGrids(scheme.quantizer.scheme())) {
            const auto [share, rest] = progress.split(0.5);
            progress = rest;
            if (auto done = fitAllGrids(tensor, scheme, stop, share); !done)
                return tl::unexpected(done.error());
        }

    const auto sample = sampleRows(tensor, rangeRows);
    for (auto& scheme : prepared)
        scheme.errorRange = chooseErrorRange(scheme, sample, weights.absMax);
    return prepared;
}

}  // namespace quantloupe
