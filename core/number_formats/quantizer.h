// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/unit_grid.h"
#include "core/schemes/scheme.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace quantloupe {

struct NumberFormat;

/// A scheme made ready to work on rows of one matrix. A value: cheap to copy, safe to share between threads.
///
/// Rows are handed over as `rowCount × columns` floats, row-major. A unit (weights that share a scale) covers columns
/// [u·unitLength, min((u+1)·unitLength, columns)) of rowsPerUnit() rows. Grids come unit by unit, then band of rows by
/// band. With Granularity::Tensor there is one grid for everything, found by a TensorRangeSearch; grids spans then have
/// one element. Formats that find scales and codes together (ggml's blocks, look-up tables) have no grids: gridCount()
/// is 0, and pack() makes the bytes of their rows.
///
/// The law: fakeQuantize(x) == decode(encode(x)), or unpack(pack(x)), bit for bit.
/// Non-finite weights never influence a grid. NaN quantizes to the code nearest zero, ±infinity saturates; formats that
/// hold them (fp32, fp16, bf16) keep them.
class Quantizer
{
public:
    /// Errors: Unsupported, naming what is not built (format), or why the parts of the scheme make no sense together
    /// (granularity, range, symmetry, scale storage). Algorithms are not looked at: they surround what is done here.
    static Result<Quantizer> create(const Scheme& scheme, std::size_t columns);

    /// What errors in each column weigh, ≥ 0: for searches of ranges (mse), tables and blocks. One value per column.
    void setImportance(std::vector<float> importance);
    /// Whether it changes anything: what scales and codes are searched for, by the row or the unit.
    bool usesImportance() const;
    /// Largest finite |w| of the whole tensor. @pre given before fit() where needsTensorAbsMax()
    void setTensorAbsMax(float absMax) { m_tensorAbsMax = absMax; }
    /// The same for columns [first, first + count) alone, as a matrix of their own. @pre first begins a unit
    Quantizer ofColumns(std::size_t first, std::size_t count) const;
    bool needsTensorAbsMax() const { return m_scheme.format == Format::Nvfp4; }

    const Scheme& scheme() const { return m_scheme; }
    std::size_t columns() const { return m_columns; }
    bool wholeTensor() const;  ///< one grid for the tensor
    bool hasScale() const;     ///< false for fp32, fp16, bf16: grids are ignored
    bool hasGrids() const;     ///< false for formats that are packed row by row
    std::size_t unitLength() const;
    std::size_t rowsPerUnit() const;                    ///< above 1 for Granularity::Block alone
    std::size_t unitsPerRow() const;                    ///< 1 for Tensor
    std::size_t gridCount(std::size_t rowCount) const;  ///< 1 for Tensor, units of all bands of rows otherwise

    /// Chooses the grids of whole rows. @pre !wholeTensor(); grids.size() == gridCount(rowCount); the rows begin a band
    void fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids) const;
    /// Returns how many finite weights were clamped to the ends of their unit's range. Where units are several rows
    /// high, grids begin with the band of the first row, which is row `rowInBand` of it.
    std::uint64_t fakeQuantize(std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids,
        std::span<float> out, std::size_t rowInBand = 0) const;
    /// Codes count from 0 at the lowest value up (asymmetric: the stored code; symmetric: code + 2^(b−1) … ;
    /// minifloats: their bit pattern; code books: the index). @pre codeCount() != 0 or 16-bit patterns
    void encode(std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids,
        std::span<std::uint32_t> codes, std::size_t rowInBand = 0) const;
    /// @pre hasGrids()
    void decode(std::span<const std::uint32_t> codes, std::size_t rowCount, std::span<const UnitGrid> grids,
        std::span<float> out, std::size_t rowInBand = 0) const;

    /// Bytes of a row of a format without grids. @pre !hasGrids()
    std::size_t packedRowBytes() const;
    void pack(std::span<const float> rows, std::size_t rowCount, std::span<std::byte> bytes) const;
    void unpack(std::span<const std::byte> bytes, std::size_t rowCount, std::span<float> out) const;
    /// The codes in such bytes, as encode() gives them for the rows that were packed.
    void readCodes(std::span<const std::byte> bytes, std::size_t rowCount, std::span<std::uint32_t> codes) const;

    /// Number of codes in use by the format: 16 for int4, 0 above 65,536.
    std::size_t codeCount() const;
    /// Values of all codes of a unit, by code. Empty when codeCount() is 0 or above 256. Minifloats: NaN codes are NaN.
    std::vector<float> levels(const UnitGrid& grid) const;
    /// The same for a format without grids, at one weight of a row of weights. @pre !hasGrids()
    std::vector<float> levelsAt(std::span<const float> row, std::size_t column) const;
    /// Bound of |w − ŵ| in a unit whose finite weights lie in −absMax … absMax under a minmax range. Clipping ranges
    /// (percentile, mse) exceed it, and symf units without a negative weight do.
    double worstCaseError(double absMax) const;

    /// The functions behind it, for range searches.
    const NumberFormat& format() const { return *m_format; }

private:
    Quantizer() = default;
    kernels::UnitShape shape() const { return {m_columns, unitLength(), wholeTensor()}; }
    /// Calls each(first element, elements, grids of these rows) for runs of rows whose grids lie side by side.
    template<class Each>
    void forEachRun(
        std::size_t rowCount, std::size_t rowInBand, std::span<const UnitGrid> grids, const Each& each) const;

    Scheme m_scheme;
    std::size_t m_columns = 0;
    float m_tensorAbsMax = 0.0F;
    std::shared_ptr<const std::vector<float>> m_importance {};
    const NumberFormat* m_format = nullptr;
};

}  // namespace quantloupe
