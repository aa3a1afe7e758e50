// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/whole_tensor_passes.h"

#include "core/algorithms/combinations.h"
#include "core/algorithms/equalization.h"
#include "core/kernels/ranges.h"
#include "core/model/catalog.h"
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/tensor_range_search.h"

#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>

namespace quantloupe {

namespace {

using Scratches = tbb::enumerable_thread_specific<TransformScratch>;

/// How many passes will follow is not known: each takes half of what is left of the bar.
ProgressShare takeHalf(ProgressShare& progress)
{
    const auto [share, rest] = progress.split(0.5);
    progress = rest;
    return share;
}

std::span<const float> seenBy(const PreparedScheme& scheme, const RowTile& tile, TransformScratch& scratch)
{
    return scheme.transform.apply(tile.weights, tile.firstRow, scheme.quantizer.columns(), scratch);
}

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

struct RangeAndCount {
    kernels::FiniteRange range {};
    std::uint64_t count = 0;

    RangeAndCount& operator+=(const RangeAndCount& other)
    {
        range.minimum = std::min(range.minimum, other.range.minimum);
        range.maximum = std::max(range.maximum, other.range.maximum);
        count += other.count;
        return *this;
    }
};

/// Largest sizes of a tensor's rows and columns.
struct RowAndColumnSizes {
    std::vector<float> rows, columns;
};

Result<RowAndColumnSizes> sizesOf(const ModelTensor& tensor, std::stop_token stop)
{
    struct Columns {
        std::vector<float> sizes;
        Columns& operator+=(const Columns& other)
        {
            std::transform(sizes.begin(), sizes.end(), other.sizes.begin(), sizes.begin(),
                [](float a, float b) { return std::max(a, b); });
            return *this;
        }
    };
    const auto shape = matrixShape(tensor.view);
    const auto columns = static_cast<std::size_t>(shape.columns);
    RowAndColumnSizes sizes {.rows = std::vector<float>(static_cast<std::size_t>(shape.rows)), .columns = {}};
    Progress unseen;
    auto found = reduceTiles<Columns>(
        tensor, std::move(stop), ProgressShare(unseen, 0), [&] { return Columns {std::vector<float>(columns)}; },
        [&](Columns& largest, const RowTile& tile) {
            for (std::size_t row = 0; row < tile.rowCount; ++row)
                for (std::size_t i = 0; i < columns; ++i) {
                    const float size = std::abs(tile.weights[row * columns + i]);
                    if (!std::isfinite(size))
                        continue;
                    largest.sizes[i] = std::max(largest.sizes[i], size);
                    auto& ofRow = sizes.rows[static_cast<std::size_t>(tile.firstRow) + row];
                    ofRow = std::max(ofRow, size);
                }
        });
    if (!found)
        return tl::unexpected(found.error());
    sizes.columns = std::move(found->sizes);
    return sizes;
}

Result<void> equalize(WeightTransform& transform, const ModelTensor& tensor, const WeightStatistics& weights,
    const Model& model, std::stop_token stop)
{
    const auto index = static_cast<std::size_t>(&tensor - model.tensors.data());
    if (index >= model.tensors.size())
        return {};
    const auto pair = equalizationPairOf(equalizationPairs(catalogOf(model)), index);
    if (!pair)
        return {};
    const bool isProducer = pair->producer == index;
    const auto& partner = model.tensors[isProducer ? pair->consumer : pair->producer];
    if (!partner.view.decodable())
        return {};
    const auto held = holdReadable(partner, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto other = sizesOf(partner, std::move(stop));
    if (!other)
        return tl::unexpected(other.error());
    if (isProducer)
        transform.rowFactors = equalizationFactors(*pair, weights.rowAbsMax, other->columns).producerRows;
    else
        transform.columnFactors = equalizationFactors(*pair, other->rows, weights.columnAbsMax).consumerColumns;
    return {};
}

}  // namespace

Result<WeightTransform> makeTransform(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    const Model* model, std::stop_token stop)
{
    WeightTransform transform;
    const auto shape = matrixShape(tensor.view);
    if (shape.elements() == 0)
        return transform;
    if (uses(scheme, Algorithm::Hadamard)) {
        auto rotation = HadamardRotation::create(static_cast<std::size_t>(shape.columns));
        if (!rotation)
            return failure(rotation.error().code, tensor.name, rotation.error().reason);
        transform.rotation = std::move(*rotation);
    }
    if (model != nullptr && uses(scheme, Algorithm::Equalization))
        if (auto done = equalize(transform, tensor, weights, *model, std::move(stop)); !done)
            return tl::unexpected(done.error());
    return transform;
}

Result<TensorRange> rangeBehind(const ModelTensor& tensor, const WeightStatistics& weights,
    const PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress)
{
    const bool needed = scheme.quantizer.wholeTensor() || scheme.quantizer.needsTensorAbsMax();
    if (scheme.transform.isIdentity() || !needed)
        return TensorRange {
            static_cast<float>(weights.minimum), static_cast<float>(weights.maximum), weights.moments.count};
    Scratches scratches;
    const auto found = reduceTiles<RangeAndCount>(
        tensor, std::move(stop), takeHalf(progress), [] { return RangeAndCount {}; },
        [&](RangeAndCount& sum, const RowTile& tile) {
            const auto rows = seenBy(scheme, tile, scratches.local());
            const auto finite = std::count_if(rows.begin(), rows.end(), [](float x) { return std::isfinite(x); });
            sum += RangeAndCount {kernels::rangeOf(rows), static_cast<std::uint64_t>(finite)};
        });
    if (!found)
        return tl::unexpected(found.error());
    if (found->count == 0)
        return TensorRange {};
    return TensorRange {found->range.minimum, found->range.maximum, found->count};
}

Result<void> searchTensorGrids(const ModelTensor& tensor, std::span<PreparedScheme* const> schemes,
    std::span<const TensorRange> ranges, std::stop_token stop, ProgressShare& progress)
{
    std::vector<TensorRangeSearch> searches;
    for (std::size_t i = 0; i < schemes.size(); ++i)
        searches.emplace_back(schemes[i]->quantizer, ranges[i].minimum, ranges[i].maximum, ranges[i].count);
    Scratches scratches;
    for (;;) {
        std::vector<std::size_t> open;
        for (std::size_t i = 0; i < searches.size(); ++i)
            if (searches[i].needsPass())
                open.push_back(i);
        if (open.empty())
            break;
        auto totals = reduceTiles<SearchPartials>(
            tensor, stop, takeHalf(progress),
            [&] {
                SearchPartials empty;
                for (const auto i : open)
                    empty.partials.push_back(searches[i].emptyPartial());
                return empty;
            },
            [&](SearchPartials& sums, const RowTile& tile) {
                for (std::size_t i = 0; i < open.size(); ++i)
                    searches[open[i]].add(sums.partials[i], seenBy(*schemes[open[i]], tile, scratches.local()));
            });
        if (!totals)
            return tl::unexpected(totals.error());
        for (std::size_t i = 0; i < open.size(); ++i)
            searches[open[i]].finishPass(totals->partials[i]);
    }
    for (std::size_t i = 0; i < schemes.size(); ++i) {
        std::vector<UnitGrid> grid(1, searches[i].grid());
        if (schemes[i]->quantizer.scheme().scales == ScaleStorage::Double8)
            quantizeScales(schemes[i]->quantizer.scheme(), grid);
        schemes[i]->grids = std::make_shared<const std::vector<UnitGrid>>(std::move(grid));
    }
    return {};
}

Result<void> fitAllGrids(
    const ModelTensor& tensor, PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress)
{
    // A band is held in memory whole, once per thread.
    constexpr std::uint64_t mostBandWeights = std::uint64_t {1} << 24U;
    const auto& quantizer = scheme.quantizer;
    const auto shape = matrixShape(tensor.view);
    const auto share = takeHalf(progress);
    const auto bandRows = std::min<std::uint64_t>(quantizer.rowsPerUnit(), std::max<std::uint64_t>(1, shape.rows));
    if (bandRows * shape.columns > mostBandWeights)
        return failure(ErrorCode::Unsupported, tensor.name,
            "blocks of " + std::to_string(bandRows)
                + " rows hold more than 16 million weights of this tensor side by side");
    const auto rowsAtOnce = bandRows * std::max<std::uint64_t>(1, RowTiling(shape).rowsPerTile / bandRows);
    auto grids = std::make_shared<std::vector<UnitGrid>>(quantizer.gridCount(static_cast<std::size_t>(shape.rows)));

    struct Buffers {
        std::vector<float> decoded {};
        TransformScratch transform {};
    };
    tbb::enumerable_thread_specific<Buffers> buffers;
    tbb::task_group_context context;
    {
        const std::stop_callback cancel(stop, [&] { context.cancel_group_execution(); });
        // Bands are fitted each by itself, so the order of work does not show.
        tbb::parallel_for(
            std::uint64_t {0}, (shape.rows + rowsAtOnce - 1) / rowsAtOnce,
            [&](std::uint64_t piece) {
                auto& own = buffers.local();
                const auto first = piece * rowsAtOnce;
                const auto count = static_cast<std::size_t>(std::min(rowsAtOnce, shape.rows - first));
                const auto rows = rowsOf(tensor.view, first, count, own.decoded);
                quantizer.fit(scheme.transform.apply(rows, first, quantizer.columns(), own.transform), count,
                    std::span(*grids).subspan(static_cast<std::size_t>(first / bandRows) * quantizer.unitsPerRow(),
                        quantizer.gridCount(count)));
                share.advance(first, first + count, shape.rows);
                releaseRows(tensor.view, first, count);
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

Result<void> searchHalfQuadratic(
    const ModelTensor& tensor, PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress)
{
    auto search = std::make_shared<HalfQuadraticSearch>(scheme.quantizer);
    Scratches scratches;
    while (search->needsPass()) {
        auto total = reduceTiles<HalfQuadraticSearch::Partial>(
            tensor, stop, takeHalf(progress), [&] { return search->emptyPartial(); },
            [&](HalfQuadraticSearch::Partial& sums, const RowTile& tile) {
                search->add(sums, seenBy(scheme, tile, scratches.local()));
            });
        if (!total)
            return tl::unexpected(total.error());
        search->finishPass(*total);
    }
    scheme.halfQuadratic = std::move(search);
    return {};
}

}  // namespace quantloupe
