// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress_share.h"
#include "core/base/error.h"
#include "core/model/model.h"

#include <tbb/blocked_range.h>
#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

namespace quantloupe {

/// How a matrix is cut: tiles of whole rows that stay in the second-level cache, and strips of several tiles that share
/// an accumulator. It depends on the shape alone, so sums have the same bits for any number of threads.
struct RowTiling {
    static constexpr std::uint64_t tileWeights = 65'536;
    static constexpr std::uint64_t stripRows = 128;  ///< at least: joining two accumulators costs about two rows

    explicit RowTiling(MatrixShape matrix)
        : shape(matrix)
        , rowsPerTile(std::max<std::uint64_t>(1, tileWeights / std::max<std::uint64_t>(1, matrix.columns)))
        , rowsPerStrip(rowsPerTile * std::max<std::uint64_t>(1, stripRows / rowsPerTile))
        , strips((matrix.rows + rowsPerStrip - 1) / rowsPerStrip)
    {
    }

    MatrixShape shape;
    std::uint64_t rowsPerTile, rowsPerStrip, strips;
};

/// Decoded whole rows of a tensor.
struct RowTile {
    std::uint64_t firstRow = 0;
    std::size_t rowCount = 0;
    std::span<const float> weights {};  ///< rowCount × columns
};

/// What becomes of the pages of a mapped file that a pass has read.
enum class Pages : std::uint8_t {
    Released,  ///< at once: resident memory does not grow with the tensor
    Kept,      ///< for the next pass over the tensor, which has to release them
};

/// How to leave the pages of a tensor that is passed over once more. Kept only of tensors that are small beside what a
/// program needs anyway: mapping them anew costs a tenth of what both passes take.
inline Pages betweenPasses(const ModelTensor& tensor)
{
    constexpr std::uint64_t mostKept = std::uint64_t {64} << 20U;
    return tensor.bytes() <= mostKept ? Pages::Kept : Pages::Released;
}

inline tl::unexpected<Error> cancelled(const ModelTensor& tensor)
{
    return failure(ErrorCode::Cancelled, tensor.name, "stopped on request");
}

/// Visits every row of a tensor once, some rows at a time and in parallel, and reduces them to one Accumulator.
///
/// make() gives an empty Accumulator; visit(accumulator, firstRow, rowCount) adds rows to it, those of one accumulator
/// in order; `+=` joins a piece with the one that follows it, along a tree that is fixed by the shape. visit() may also
/// write to places that belong to these rows alone. Nothing is kept in memory but the accumulators in flight and, where
/// asked for, the pages of the file.
/// Errors: Cancelled, at the latest one visit after a stop is requested.
template<class Accumulator, class Make, class Visit>
Result<Accumulator> reduceRows(const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress,
    const Make& make, const Visit& visit, Pages pages = Pages::Released)
{
    const RowTiling tiling(matrixShape(tensor.view));
    if (tiling.shape.elements() == 0) {
        progress.finish();
        return make();
    }
    tbb::task_group_context context;

    const auto visitStrip = [&](Accumulator& accumulator, std::uint64_t strip) {
        const auto begin = strip * tiling.rowsPerStrip;
        const auto end = std::min(tiling.shape.rows, begin + tiling.rowsPerStrip);
        readRowsAhead(tensor.view, end, tiling.rowsPerStrip);
        for (auto row = begin; row < end && !stop.stop_requested(); row += tiling.rowsPerTile) {
            const auto count = std::min(tiling.rowsPerTile, end - row);
            visit(accumulator, row, count);
            progress.advance(row, row + count, tiling.shape.rows);
        }
        if (pages == Pages::Released)
            releaseRows(tensor.view, begin, end - begin);
    };
    /// The imperative form of tbb::parallel_deterministic_reduce: the functional one copies accumulators.
    struct Body {
        const Make& make;
        const decltype(visitStrip)& work;
        std::optional<Accumulator> result {};

        Body(const Make& makeEmpty, const decltype(visitStrip)& visitOne)
            : make(makeEmpty)
            , work(visitOne)
        {
        }
        Body(const Body& other, tbb::split)
            : make(other.make)
            , work(other.work)
        {
        }
        void operator()(const tbb::blocked_range<std::uint64_t>& strips)
        {
            if (!result)
                result.emplace(make());
            for (auto strip = strips.begin(); strip != strips.end(); ++strip)
                work(*result, strip);
        }
        void join(Body& right)
        {
            if (result && right.result)
                *result += *right.result;
            right.result.reset();
        }
    };
    Body body(make, visitStrip);
    {
        const std::stop_callback cancel(stop, [&] { context.cancel_group_execution(); });
        tbb::parallel_deterministic_reduce(
            tbb::blocked_range<std::uint64_t>(0, tiling.strips, 1), body, tbb::simple_partitioner(), context);
    }
    // A cancelled context returns without a word and with part of the work: also when an outer one was cancelled.
    if (stop.stop_requested() || context.is_group_execution_cancelled() || !body.result)
        return cancelled(tensor);
    return std::move(*body.result);
}

/// As reduceRows(), with every row decoded once: visit(accumulator, tile).
template<class Accumulator, class Make, class Visit>
Result<Accumulator> reduceTiles(const ModelTensor& tensor, std::stop_token stop, const ProgressShare& progress,
    const Make& make, const Visit& visit, Pages pages = Pages::Released)
{
    tbb::enumerable_thread_specific<std::vector<float>> buffers;
    return reduceRows<Accumulator>(
        tensor, std::move(stop), progress, make,
        [&](Accumulator& accumulator, std::uint64_t firstRow, std::uint64_t rowCount) {
            visit(accumulator,
                RowTile {.firstRow = firstRow,
                    .rowCount = static_cast<std::size_t>(rowCount),
                    .weights = rowsOf(tensor.view, firstRow, rowCount, buffers.local())});
        },
        pages);
}

}  // namespace quantloupe
