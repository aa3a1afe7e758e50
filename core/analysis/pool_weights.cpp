// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect.h"
#include "core/analysis/measure.h"
#include "core/analysis/prepared_scheme.h"

#include <tbb/blocked_range.h>
#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace quantloupe {

namespace {

struct PoolScratch {
    std::vector<float> rows {};
    QuantizerScratch quantizer {};
    std::vector<std::uint32_t> codes {};
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

/// Pools one row of weights into one row of cells; `sizes` holds the largest size met in each cell so far.
class RowPooler
{
public:
    RowPooler(const WeightMap& map, std::span<float> cells)
        : m_cells(cells)
        , m_sizes(cells.size(), -1.0F)
        , m_ends(cells.size() + 1)
    {
        for (std::uint64_t cell = 0; cell <= map.width; ++cell)
            m_ends[cell] = static_cast<std::size_t>(map.firstColumn + cell * map.columns / map.width);
    }

    /// size(column) decides which weight a cell shows, value(column) is what it shows.
    template<class Size, class Value>
    void add(const Size& size, const Value& value)
    {
        for (std::size_t cell = 0; cell < m_cells.size(); ++cell) {
            if (std::isnan(m_cells[cell]))
                continue;
            float largest = m_sizes[cell];
            std::size_t at = m_ends[cell + 1];
            for (auto column = m_ends[cell]; column < m_ends[cell + 1]; ++column)
                if (const float magnitude = size(column); magnitude > largest) {
                    largest = magnitude;
                    at = column;
                }
            if (at == m_ends[cell + 1])
                continue;
            m_sizes[cell] = largest;
            m_cells[cell] = std::isfinite(largest) ? value(at) : std::numeric_limits<float>::quiet_NaN();
        }
    }

private:
    std::span<float> m_cells;
    std::vector<float> m_sizes;
    std::vector<std::size_t> m_ends;  ///< the first column of each cell, and where the last one ends
};

/// |x|, infinite for whatever is not finite, so that it wins over everything.
float sizeOf(float x)
{
    return std::isfinite(x) ? std::abs(x) : std::numeric_limits<float>::infinity();
}

/// `original` and, unless weights are shown, what the scheme makes of it: one row.
void poolRow(RowPooler& pooler, MapQuantity quantity, std::uint64_t row, std::span<const float> original,
    const PreparedScheme* scheme, PoolScratch& scratch)
{
    if (scheme == nullptr) {
        pooler.add([&](std::size_t i) { return sizeOf(original[i]); }, [&](std::size_t i) { return original[i]; });
        return;
    }
    scheme->quantize(row, original, 1, scratch.quantizer);
    const auto& quantized = scratch.quantizer.quantized;
    if (quantity == MapQuantity::Codes) {
        scratch.codes.resize(original.size());
        scheme->encode(row, 1, scratch.codes, scratch.quantizer);
        pooler.add([&](std::size_t i) { return sizeOf(original[i]); },
            [&](std::size_t i) { return static_cast<float>(scratch.codes[i]); });
        return;
    }
    const auto error = [&](std::size_t i) { return original[i] - quantized[i]; };
    const auto size = [&](std::size_t i) {
        return std::isfinite(original[i]) ? sizeOf(error(i)) : sizeOf(original[i]);
    };
    if (quantity == MapQuantity::AbsError)
        pooler.add(size, [&](std::size_t i) { return std::abs(error(i)); });
    else
        pooler.add(size, error);
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
                    RowPooler pooler(map, std::span(map.cells).subspan(cellRow * map.width, map.width));
                    const auto end = map.firstRow + (cellRow + 1) * map.rows / map.height;
                    auto row = map.firstRow + cellRow * map.rows / map.height;
                    for (; row < end && !stop.stop_requested(); ++row) {
                        decodeRows(tensor.view, row, 1, scratch.rows);
                        poolRow(pooler, quantity, row, scratch.rows, ready ? &*ready : nullptr, scratch);
                    }
                }
            },
            context);
    }
    if (stop.stop_requested() || context.is_group_execution_cancelled())
        return cancelled(tensor);
    return map;
}

}  // namespace quantloupe
