// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"
#include "core/tensor/deferred_bytes.h"
#include "core/tensor/dtype.h"
#include "core/tensor/row_decoder.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// Extents, outermost first: [out_features, in_features] for a linear weight. Empty for a scalar.
using Shape = std::vector<std::uint64_t>;

/// Product of the extents; nullopt on overflow. 1 for a scalar.
std::optional<std::uint64_t> elementCount(const Shape& shape);

/// Borrowed bytes of one tensor in a mapped file, row-major, with the owner that keeps the map alive.
struct TensorView {
    DType dtype = DType::F32;
    Shape shape {};
    Bytes bytes {};
    std::shared_ptr<const MappedFile> owner {};
    /// Output channels come last: [in_features, out_features] (GPT-2's Conv1D, Dense of Keras, MatMul of ONNX), or a
    /// stack of such matrices. decodeRows() still gives output channels as rows. Never of block types.
    bool transposed = false;
    /// A kernel of a convolution, [out_channels, in_channels, extents…] or, transposed, [extents…, in_channels,
    /// out_channels]: an output channel is a row of all the rest.
    bool convolution = false;
    /// Set where rows are not elements of `dtype` one after the other: decodes them instead. `bytes` then are those of
    /// the codes, `shape` is that of the weight, and `packedBytes` counts all that is stored for it.
    std::shared_ptr<const RowDecoder> decoder {};
    std::uint64_t packedBytes = 0;
    /// Set where the bytes must be unpacked first: `bytes` is empty then. See holdBytes().
    std::shared_ptr<const DeferredBytes> deferred {};

    std::uint64_t elements() const { return elementCount(shape).value_or(0); }
    /// Stored bytes (of unpacked elements where deferred).
    std::uint64_t byteSize() const
    {
        return packedBytes > 0 ? packedBytes : deferred ? deferred->size() : std::uint64_t {bytes.size()};
    }
    /// decodeRows() turns it into float32.
    bool decodable() const { return decoder || traitsOf(dtype).decodable; }
};

/// Keeps the bytes of a view readable; nothing to keep for most.
using HeldBytes = std::shared_ptr<const MappedFile>;

/// Makes the bytes of a view readable for decodeRows(), for as long as what is returned lives. At no cost unless the
/// bytes are deferred. Errors: as DeferredBytes::hold().
Result<HeldBytes> holdBytes(const TensorView& view, std::stop_token stop);

/// Tells the kernel that the bytes of a view have been used up: resident memory does not grow with the model.
void releaseBytes(const TensorView& view);

/// The same of some rows only, and that some rows are needed next. Nothing where rows do not lie one after the other.
void releaseRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount);
void readRowsAhead(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount);

/// A tensor as the matrix that quantization sees: rows are output channels, columns the input dimension.
/// Rank 2: the shape (swapped when transposed). Higher rank: leading extents fold into rows (expert stacks), or, of a
/// convolution, all but that of the output channels into columns.
/// Rank 0 and 1: one row.
struct MatrixShape {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    bool operator==(const MatrixShape&) const = default;
    std::uint64_t elements() const { return rows * columns; }
};
MatrixShape matrixShape(const TensorView& view);

/// Decodes rows [firstRow, firstRow + rowCount) to float32.
/// @pre view.decodable(), its bytes are held, the rows exist, out.size() == rowCount × columns.
/// F64 rounds to nearest even; integers above 2²⁴ likewise. NaN and infinities pass through.
void decodeRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out);

/// `count` elements of bytes that hold elements of a decodable dtype one after the other, from element `first` on,
/// `stride` elements apart: what row decoders are made of. Of block types `first` is a block's first, `count` fills
/// blocks and `stride` is 1.
void decodeElements(
    DType dtype, const std::byte* data, std::size_t first, std::size_t stride, std::size_t count, float* out);

/// Rows of a matrix that is stored by columns, `stride` elements apart: row r begins at element `first` + r, and `out`
/// takes whole rows of `columns` elements. Reads neighbouring rows together.
void decodeColumns(DType dtype, const std::byte* data, std::uint64_t first, std::uint64_t stride, std::uint64_t columns,
    std::span<float> out);

/// The same rows where they lie if they are float32 already and aligned as such, otherwise decoded into `buffer`.
std::span<const float> rowsOf(
    const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::vector<float>& buffer);

}  // namespace quantloupe
