// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect.h"
#include "core/analysis/measure.h"
#include "core/analysis/prepared_scheme.h"
#include "core/kernels/largest_in_columns.h"

#include <tbb/blocked_range.h>
#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

namespace quantloupe {

namespace {

/// The largest weights, or errors, in the columns of a rectangle, over the rows of one row of cells.
class ColumnPooler
{
public:
    void start(std::size_t columns)
    {
        m_sizes.assign(columns, -1.0F);
        m_values.resize(columns);
        m_rows.resize(columns);
    }
    kernels::LargestInColumns all() { return {.sizes = m_sizes, .values = m_values, .rows = m_rows}; }
    /// What the cell of these columns shows: the largest value, of equals the first of the first row.
    float cell(std::size_t begin, std::size_t end) const
    {
        // Once a row was added sizes are not negative, so that their bits are in their order. Chosen without a jump:
        // none could be foreseen.
        const auto rankOf = [&](std::size_t i) {
            return static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(m_sizes[i])) << 32U | ~m_rows[i];
        };
        std::size_t best = begin;
        auto highest = rankOf(begin);
        for (auto i = begin + 1; i < end; ++i) {
            const auto rank = rankOf(i);
            best = rank > highest ? i : best;
            highest = std::max(highest, rank);
        }
        return std::isfinite(m_sizes[best]) ? m_values[best] : std::numeric_limits<float>::quiet_NaN();
    }

private:
    std::vector<float> m_sizes {}, m_values {};
    std::vector<std::uint32_t> m_rows {};
};

struct PoolScratch {
    std::vector<float> rows {};
    QuantizerScratch quantizer {};
    std::vector<std::uint32_t> codes {};
    std::vector<float> shown {};  ///< codes as numbers
    ColumnPooler pooler {};
};

/// The rectangle inside the matrix, with the raster it is pooled to.
WeightMap layOut(const WeightMap& wanted, MapQuantity quantity, const MatrixShape& shape, std::uint32_t maxHeight,
    std::uint32_t maxWidth)
{
    WeightMap map;
    map.quantity = quantity;
    map.firstRow = std::min(wanted.firstRow, shape.rows);
    map.firstColumn = std::min(wanted.firstColumn, shape.columns);
    map.rows = std::min(wanted.rows, shape.rows - map.firstRow);
    map.columns = std::min(wanted.columns, shape.columns - map.firstColumn);
    map.height = static_cast<std::uint32_t>(std::min<std::uint64_t>(maxHeight, map.rows));
    map.width = static_cast<std::uint32_t>(std::min<std::uint64_t>(maxWidth, map.columns));
    map.cells.resize(static_cast<std::size_t>(map.height) * map.width);
    return map;
}

/// Adds a row of the matrix, the `rowInCell`-th of its row of cells: `original` or, unless weights are shown, what the
/// scheme makes of it.
void poolRow(const WeightMap& map, std::uint64_t row, std::uint32_t rowInCell, std::span<const float> original,
    const PreparedScheme* scheme, PoolScratch& scratch)
{
    const auto shownOf = [&](const auto& all) {
        return std::span(all).subspan(static_cast<std::size_t>(map.firstColumn), static_cast<std::size_t>(map.columns));
    };
    const auto pooled = scratch.pooler.all();
    if (scheme == nullptr)
        return kernels::keepLargest(shownOf(original), shownOf(original), rowInCell, pooled);
    scheme->quantize(row, original, 1, scratch.quantizer);
    if (map.quantity != MapQuantity::Codes)
        return kernels::keepLargestErrors(shownOf(original), shownOf(scratch.quantizer.quantized), rowInCell, pooled);
    scratch.codes.resize(original.size());
    scheme->encode(row, 1, scratch.codes, scratch.quantizer);
    const auto codes = shownOf(scratch.codes);
    scratch.shown.assign(codes.begin(), codes.end());
    kernels::keepLargest(shownOf(original), scratch.shown, rowInCell, pooled);
}

/// Of the rectangle's columns, the first one of each cell, and behind them all how many there are.
std::vector<std::size_t> cellColumns(const WeightMap& map)
{
    std::vector<std::size_t> columns;
    for (std::uint64_t cell = 0; cell <= map.width; ++cell)
        columns.push_back(static_cast<std::size_t>(cell * map.columns / map.width));
    return columns;
}

/// What the columns show together, in one row of cells.
void fillCells(
    MapQuantity quantity, std::span<const std::size_t> columns, const ColumnPooler& pooler, std::span<float> cells)
{
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const float value = pooler.cell(columns[i], columns[i + 1]);
        cells[i] = quantity == MapQuantity::AbsError ? std::abs(value) : value;
    }
}

}  // namespace

Result<WeightMap> poolWeights(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    MapQuantity quantity, const WeightMap& rectangle, std::uint32_t maxHeight, std::uint32_t maxWidth,
    std::stop_token stop, const Model* model)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    auto map = layOut(rectangle, quantity, shape, maxHeight, maxWidth);

    std::optional<PreparedScheme> ready;
    if (quantity != MapQuantity::Weights) {
        Progress unseen;
        ProgressShare share(unseen, 0);
        auto prepared = prepareSchemes(tensor, weights, {&scheme, 1}, model, stop, share);
        if (!prepared)
            return tl::unexpected(prepared.error());
        if (quantity == MapQuantity::Codes && prepared->front().quantizer.codeCount() == 0)
            return failure(ErrorCode::Unsupported, tensor.name, scheme.toString() + " has no codes to show");
        ready = prepared->front();
    }
    if (map.cells.empty())
        return map;

    const auto columns = cellColumns(map);
    tbb::enumerable_thread_specific<PoolScratch> scratches;
    tbb::task_group_context context;
    {
        const std::stop_callback cancel(stop, [&] { context.cancel_group_execution(); });
        tbb::parallel_for(
            tbb::blocked_range<std::uint64_t>(0, map.height),
            [&](const tbb::blocked_range<std::uint64_t>& cellRows) {
                auto& scratch = scratches.local();
                scratch.rows.resize(static_cast<std::size_t>(shape.columns));
                for (auto cellRow = cellRows.begin(); cellRow != cellRows.end(); ++cellRow) {
                    scratch.pooler.start(static_cast<std::size_t>(map.columns));
                    const auto first = map.firstRow + cellRow * map.rows / map.height;
                    const auto end = map.firstRow + (cellRow + 1) * map.rows / map.height;
                    for (auto row = first; row < end && !stop.stop_requested(); ++row) {
                        decodeRows(tensor.view, row, 1, scratch.rows);
                        poolRow(map, row, static_cast<std::uint32_t>(row - first), scratch.rows,
                            ready ? &*ready : nullptr, scratch);
                    }
                    fillCells(quantity, columns, scratch.pooler,
                        std::span(map.cells).subspan(cellRow * map.width, map.width));
                }
            },
            context);
    }
    if (stop.stop_requested() || context.is_group_execution_cancelled())
        return cancelled(tensor);
    return map;
}

}  // namespace quantloupe
