// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/number_formats/number_format.h"
#include "core/number_formats/quantizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Some rows of a matrix turned on their side: the weights of one column lie together, so that what is done column by
/// column is done to all rows at once. The grids of these rows likewise, unit after unit.
class RowPanel
{
public:
    RowPanel(const Quantizer& quantizer, std::size_t firstRow, std::size_t rowCount);

    std::size_t rows() const { return m_rows; }
    std::size_t firstRow() const { return m_firstRow; }

    /// columns[p·rows + r] = weights of the whole matrix at [firstRow + r][order[p]]
    template<class Number>
    void gather(std::span<const Number> matrix, std::span<const std::uint32_t> order, std::span<Number> columns) const;
    /// The way back.
    template<class Number>
    void scatter(std::span<const Number> columns, std::span<const std::uint32_t> order, std::span<Number> matrix) const;

    /// Takes these rows' grids out of those of the matrix.
    void readGrids(std::span<const UnitGrid> matrix);
    /// @pre units are one row high
    void writeGrids(std::span<UnitGrid> matrix) const;
    std::size_t unitOf(std::size_t column) const;
    std::span<UnitGrid> gridsOf(std::size_t unit) { return std::span(m_grids).subspan(unit * m_rows, m_rows); }

    /// Codes of the weights of one column, and the weights they stand for.
    void round(std::size_t column, std::span<const float> weights, std::span<std::uint32_t> codes,
        std::span<float> rounded) const;
    void decode(std::size_t column, std::span<const std::uint32_t> codes, std::span<float> rounded) const;

private:
    const Quantizer& m_quantizer;
    std::size_t m_firstRow, m_rows, m_columns;
    std::vector<UnitGrid> m_grids;
};

}  // namespace quantloupe
