// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"
#include "core/tensor/dtype.h"

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
    /// Stored [in_features, out_features] (GPT-2's Conv1D): decodeRows() still gives output channels as rows.
    bool transposed = false;
    /// A kernel of a convolution, [out_channels, in_channels, extents…]: an output channel is a row of all the rest.
    bool convolution = false;

    std::uint64_t elements() const { return elementCount(shape).value_or(0); }
};

/// A tensor as the matrix that quantization sees: rows are output channels, columns the input dimension.
/// Rank 2: the shape (swapped when transposed). Higher rank: leading extents fold into rows (expert stacks), or, of a
/// convolution, all but the first into columns.
/// Rank 0 and 1: one row.
struct MatrixShape {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    bool operator==(const MatrixShape&) const = default;
    std::uint64_t elements() const { return rows * columns; }
};
MatrixShape matrixShape(const TensorView& view);

/// Decodes rows [firstRow, firstRow + rowCount) to float32.
/// @pre traitsOf(view.dtype).decodable, the rows exist, out.size() == rowCount × columns.
/// F64 rounds to nearest even; integers above 2²⁴ likewise. NaN and infinities pass through.
void decodeRows(const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out);

/// The same rows where they lie if they are float32 already and aligned as such, otherwise decoded into `buffer`.
std::span<const float> rowsOf(
    const TensorView& view, std::uint64_t firstRow, std::uint64_t rowCount, std::vector<float>& buffer);

}  // namespace quantloupe
