// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace quantloupe {

/// Gives `count` neighbouring elements, from element `first` on, as float32.
using ElementRun = std::function<void(std::uint64_t first, std::size_t count, float* out)>;

/// Where the rows of a matrix lie among elements that are stored one after the other: what decodeRows() and row
/// decoders have in common.
class ElementOrder
{
public:
    /// As matrixShape() sees a view: plain, transposed, or a stack of transposed matrices.
    static ElementOrder of(const TensorView& view);

    /// Rows of `columns` elements, each `pitch` elements behind the one before. @pre columns <= pitch
    static ElementOrder padded(std::uint64_t columns, std::uint64_t pitch);

    /// A kernel of a transposed convolution, stored as [in_channels, out_channels / groups, extents…]: rows are output
    /// channels all the same. @pre rank ≥ 2, groups divides in_channels
    static ElementOrder ofTransposedKernel(const Shape& stored, std::uint64_t groups);

    /// Puts together rows [firstRow, firstRow + rowCount). @pre out.size() == rowCount × columns
    void collectRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out, const ElementRun& run) const;

private:
    enum class Kind : std::uint8_t { Rows, ChannelsLast, TransposedKernel };

    void collectChannels(
        std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out, const ElementRun& run) const;

    Kind m_kind = Kind::Rows;
    std::uint64_t m_columns = 0;
    std::uint64_t m_pitch = 0;     ///< Rows: elements from a row to the next
    std::uint64_t m_channels = 1;  ///< ChannelsLast: of one matrix; TransposedKernel: of one group
    std::uint64_t m_extents = 1;   ///< TransposedKernel: elements of one pair of channels
};

}  // namespace quantloupe
