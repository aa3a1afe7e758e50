// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/tensor_passes.h"
#include "core/model/hold_readable.h"
#include "core/tensor/selected_rows.h"

#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

namespace quantloupe {
namespace {

tl::unexpected<Error> differs(const std::string& tensor, const std::string& how)
{
    return failure(ErrorCode::Internal, tensor, "what was written reads differently: " + how);
}

Result<void> compareBytes(const ModelTensor& source, const ModelTensor& again)
{
    const auto expected = source.view.bytes, found = again.view.bytes;
    if (again.view.dtype != source.view.dtype || expected.size() != found.size()
        || (!expected.empty() && std::memcmp(expected.data(), found.data(), expected.size()) != 0))
        return differs(again.name, "its bytes are not those of " + source.name);
    return {};
}

/// What was read, as a matrix like the source: not every format says what the kernel of a convolution is.
TensorView viewLike(const TensorView& source, TensorView found)
{
    if (!source.transposed && !found.transposed && found.shape == source.shape)
        found.convolution = source.convolution;
    return found;
}

/// The rows that hold the tensor, in the order in which they were written.
TensorView rowsToCompare(const TensorView& again, const ReadBack& where, std::uint64_t count)
{
    const auto shape = matrixShape(again);
    if (where.firstRow == 0 && where.rows.empty() && shape.rows == count)
        return again;
    std::vector<std::uint64_t> rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), where.firstRow);
    for (std::size_t row = 0; row < where.rows.size(); ++row)
        rows[row] = where.firstRow + where.rows[row];
    return selectRows(again, std::move(rows));
}

}  // namespace

Result<void> verifyTensor(const CheckpointDraft& draft, const DraftTensor& tensor, const WrittenTensor& written,
    const Model& again, std::stop_token stop, const ProgressShare& progress)
{
    const auto& source = draft.model->tensors[tensor.source];
    const auto index = again.find(tensor.readBack.name);
    if (!index)
        return differs(tensor.readBack.name, "it is not there");
    const auto& found = again.tensors[*index];
    if (!tensor.scheme) {
        progress.finish();
        return compareBytes(source, found);
    }
    const auto held = holdReadable(found, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto& tiling = written.tiling;
    const auto like = viewLike(source.view, found.view);
    const auto shape = matrixShape(like);
    if (shape.columns != tiling.shape.columns || shape.rows < tensor.readBack.firstRow + tiling.shape.rows)
        return differs(found.name, "its shape is another");
    const auto view = rowsToCompare(like, tensor.readBack, tiling.shape.rows);
    tbb::enumerable_thread_specific<std::vector<float>> buffers;
    std::atomic<std::uint64_t> firstBad = tiling.tiles();
    tbb::parallel_for(std::uint64_t {0}, tiling.tiles(), [&](std::uint64_t tile) {
        if (stop.stop_requested())
            return;
        auto& values = buffers.local();
        const auto first = tile * tiling.rowsPerTile, last = std::min(first + tiling.rowsPerTile, tiling.shape.rows);
        values.resize(static_cast<std::size_t>((last - first) * tiling.shape.columns));
        decodeRows(view, first, last - first, values);
        if (valueChecksum(values) != written.checksums[static_cast<std::size_t>(tile)])
            for (auto seen = firstBad.load(); tile < seen && !firstBad.compare_exchange_weak(seen, tile);) { }
        progress.advance(first, last, tiling.shape.rows);
    });
    if (stop.stop_requested())
        return failure(ErrorCode::Cancelled, source.name, "stopped on request");
    if (const auto bad = firstBad.load(); bad < tiling.tiles())
        return differs(found.name, "rows " + std::to_string(bad * tiling.rowsPerTile) + " and after");
    releaseBytes(found.view);
    return {};
}

}  // namespace quantloupe
