// SPDX-License-Identifier: GPL-3.0-or-later
// The one way in which whoever writes checkpoints gets quantized weights: whatever chose the codes is behind it.
#pragma once

#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Whole rows of a matrix as a file holds them. A buffer that is reused from tile to tile.
struct QuantizedRows {
    std::uint64_t firstRow = 0;
    std::size_t rowCount = 0, columns = 0;
    std::vector<std::uint32_t> codes {};  ///< Quantizer::encode() with `grids`; empty where there are no grids
    /// As stored (packed_matrix.h: s16 rounded, too), Quantizer::gridCount(rowCount) of them.
    std::vector<UnitGrid> grids {};
    std::vector<std::byte> packed {};  ///< whole rows of formats without grids; empty where there are grids
    std::vector<float> values {};      ///< what the codes, with the stored grids, stand for: bit for bit

    std::span<const std::uint32_t> rowCodes(std::size_t row) const
    {
        return std::span(codes).subspan(row * columns, columns);
    }
    std::span<const float> rowValues(std::size_t row) const
    {
        return std::span(values).subspan(row * columns, columns);
    }
};

/// One tensor under one scheme.
class QuantizedTensor
{
public:
    virtual ~QuantizedTensor() = default;

    virtual const Quantizer& quantizer() const = 0;
    /// False where weights are transformed around rounding (rotations, scaled channels, corrections): rows then have
    /// values and nothing else.
    virtual bool hasCodes() const = 0;
    /// Rows [firstRow, firstRow + rowCount). Called by several threads at once.
    /// @pre firstRow is a multiple of Quantizer::rowsPerUnit(), and the last row ends a unit or the matrix
    virtual void quantize(std::uint64_t firstRow, std::size_t rowCount, QuantizedRows& rows) const = 0;
};

/// Makes a tensor of a model ready under a scheme. `tensor` is the index in Model::tensors.
/// Errors: Unsupported (what is not built, or needs calibration that is not there), Cancelled, those of reading.
using WeightQuantization = std::function<Result<std::shared_ptr<const QuantizedTensor>>(
    std::size_t tensor, const Scheme& scheme, std::stop_token stop)>;

}  // namespace quantloupe
