// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/hash.h"
#include "core/checkpoints/tensor_passes.h"
#include "core/kernels/float_rounding.h"
#include "core/model/hold_readable.h"

#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <numeric>

namespace quantloupe {
namespace {

constexpr std::uint64_t tileElements = 65'536;
constexpr std::uint64_t copyBytes = std::uint64_t {1} << 20U;

tl::unexpected<Error> stopped(const std::string& tensor)
{
    return failure(ErrorCode::Cancelled, tensor, "stopped on request");
}

PackTiling tilingOf(MatrixShape shape, std::uint64_t rowAlignment, std::uint64_t rowsPerUnit)
{
    const auto step = std::lcm(std::max<std::uint64_t>(1, rowAlignment), std::max<std::uint64_t>(1, rowsPerUnit));
    const auto rows = std::max<std::uint64_t>(1, tileElements / std::max<std::uint64_t>(1, shape.columns));
    return {shape, (rows + step - 1) / step * step};
}

void roundValues(DType type, std::span<float> values)
{
    const auto kind = type == DType::BF16 ? kernels::FloatKind::BrainHalf : kernels::FloatKind::Half;
    if (!values.empty())
        kernels::floatFakeQuantize(kind, values, {values.size(), values.size(), true}, {}, values);
}

/// The bytes of a tensor as they lie.
Result<WrittenTensor> copyTensor(const DraftTensor& tensor, const ModelTensor& source, RegionWriter& out,
    const std::stop_token& stop, const ProgressShare& progress)
{
    const auto bytes = source.view.bytes;
    for (std::uint64_t offset = 0; offset < bytes.size(); offset += copyBytes) {
        if (stop.stop_requested())
            return stopped(source.name);
        const auto count = std::min<std::uint64_t>(copyBytes, bytes.size() - offset);
        out.write(tensor.copy, offset, bytes.subspan(offset, count));
        progress.advance(offset, offset + count, bytes.size());
    }
    if (bytes.empty())
        progress.finish();
    return WrittenTensor {.tiling = {matrixShape(source.view), 1}};
}

}  // namespace

std::uint64_t valueChecksum(std::span<float> values)
{
    for (auto& value : values)
        value += 0.0F;  // −0 becomes 0
    return checksum64(std::as_bytes(values));
}

Result<WrittenTensor> writeTensor(const CheckpointDraft& draft, const DraftTensor& tensor,
    const WeightQuantization& quantization, RegionWriter& out, std::stop_token stop, const ProgressShare& progress)
{
    const auto& source = draft.model->tensors[tensor.source];
    const auto held = holdReadable(source, stop);
    if (!tensor.scheme) {
        // What cannot be decoded can be copied all the same.
        if (!held && held.error().code != ErrorCode::Unsupported)
            return tl::unexpected(held.error());
        return copyTensor(tensor, source, out, stop, progress);
    }
    if (!held)
        return tl::unexpected(held.error());
    const auto quantized = quantization(tensor.source, *tensor.scheme, stop);
    if (!quantized)
        return tl::unexpected(quantized.error());
    if (tensor.needsCodes && !(*quantized)->hasCodes())
        return failure(ErrorCode::Unsupported, source.name,
            tensor.scheme->toString() + " transforms weights around rounding: there are no codes to write");
    WrittenTensor written {
        .tiling = tilingOf(matrixShape(source.view), tensor.rowAlignment, (*quantized)->quantizer().rowsPerUnit())};
    const auto& tiling = written.tiling;
    written.checksums.resize(static_cast<std::size_t>(tiling.tiles()));
    tbb::enumerable_thread_specific<QuantizedRows> buffers;
    tbb::parallel_for(std::uint64_t {0}, tiling.tiles(), [&](std::uint64_t tile) {
        if (stop.stop_requested())
            return;
        auto& rows = buffers.local();
        const auto first = tile * tiling.rowsPerTile, last = std::min(first + tiling.rowsPerTile, tiling.shape.rows);
        (*quantized)->quantize(first, static_cast<std::size_t>(last - first), rows);
        if (tensor.rounding)
            roundValues(*tensor.rounding, rows.values);
        if (tensor.added != 0.0F)
            for (auto& value : rows.values)
                value += tensor.added;
        tensor.pack(rows, out);
        written.checksums[static_cast<std::size_t>(tile)] = valueChecksum(rows.values);
        progress.advance(first, last, tiling.shape.rows);
    });
    if (stop.stop_requested())
        return stopped(source.name);
    releaseBytes(source.view);
    return written;
}

}  // namespace quantloupe
