// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/unit_grid.h"
#include "core/schemes/scheme.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

struct NumberFormat;

/// A scheme made ready to work on rows of one matrix. A value: cheap to copy, safe to share between threads.
///
/// Rows are handed over as `rowCount × columns` floats, row-major. Units lie inside rows: unit u of a row covers
/// columns [u·unitLength, min((u+1)·unitLength, columns)). With Granularity::Tensor there is one grid for everything,
/// found by a TensorRangeSearch; grids spans then have one element.
///
/// The law: fakeQuantize(x) == decode(encode(x)), bit for bit.
/// Non-finite weights never influence a grid. NaN quantizes to the code nearest zero, ±infinity saturates; formats that
/// hold them (fp32, fp16, bf16) keep them.
class Quantizer
{
public:
    /// Errors: Unsupported, naming what is not built yet (format, granularity, range, symmetry, scale storage,
    /// algorithm).
    static Result<Quantizer> create(const Scheme& scheme, std::size_t columns);

    const Scheme& scheme() const { return m_scheme; }
    std::size_t columns() const { return m_columns; }
    bool wholeTensor() const;  ///< one grid for the tensor
    bool hasScale() const;     ///< false for fp32, fp16, bf16: grids are ignored
    std::size_t unitLength() const;
    std::size_t unitsPerRow() const;                    ///< 1 for Tensor
    std::size_t gridCount(std::size_t rowCount) const;  ///< 1 for Tensor, rowCount × unitsPerRow otherwise

    /// Chooses the grids of whole rows. @pre !wholeTensor(); grids.size() == gridCount(rowCount)
    void fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids) const;
    /// Returns how many finite weights were clamped to the ends of their unit's range.
    std::uint64_t fakeQuantize(
        std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids, std::span<float> out) const;
    /// Codes count from 0 at the lowest value up (asymmetric: the stored code; symmetric: code + 2^(b−1) … ;
    /// minifloats: their bit pattern; code books: the index). @pre codeCount() != 0 or 16-bit patterns
    void encode(std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids,
        std::span<std::uint32_t> codes) const;
    void decode(std::span<const std::uint32_t> codes, std::size_t rowCount, std::span<const UnitGrid> grids,
        std::span<float> out) const;

    /// Number of codes in use by the format: 16 for int4, 0 above 65,536.
    std::size_t codeCount() const;
    /// Values of all codes of a unit, by code. Empty when codeCount() is 0 or above 256. Minifloats: NaN codes are NaN.
    std::vector<float> levels(const UnitGrid& grid) const;
    /// Bound of |w − ŵ| in a unit whose finite weights lie in −absMax … absMax under a minmax range. Clipping ranges
    /// (percentile, mse) exceed it, and symf units without a negative weight do.
    double worstCaseError(double absMax) const;

    /// The functions behind it, for range searches.
    const NumberFormat& format() const { return *m_format; }

private:
    Quantizer() = default;
    kernels::UnitShape shape() const { return {m_columns, unitLength(), wholeTensor()}; }
    Scheme m_scheme;
    std::size_t m_columns = 0;
    const NumberFormat* m_format = nullptr;
};

}  // namespace quantloupe
