// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/row_panel.h"

#include "core/kernels/integer_column.h"
#include "core/number_formats/integer_codes.h"

namespace quantloupe {

RowPanel::RowPanel(const Quantizer& quantizer, std::size_t firstRow, std::size_t rowCount)
    : m_quantizer(quantizer)
    , m_firstRow(firstRow)
    , m_rows(rowCount)
    , m_columns(quantizer.columns())
    , m_grids(quantizer.unitsPerRow() * rowCount)
{
}

template<class Number>
void RowPanel::gather(
    std::span<const Number> matrix, std::span<const std::uint32_t> order, std::span<Number> columns) const
{
    for (std::size_t r = 0; r < m_rows; ++r) {
        const Number* row = matrix.data() + (m_firstRow + r) * m_columns;
        for (std::size_t p = 0; p < order.size(); ++p)
            columns[p * m_rows + r] = row[order[p]];
    }
}

template<class Number>
void RowPanel::scatter(
    std::span<const Number> columns, std::span<const std::uint32_t> order, std::span<Number> matrix) const
{
    for (std::size_t r = 0; r < m_rows; ++r) {
        Number* row = matrix.data() + (m_firstRow + r) * m_columns;
        for (std::size_t p = 0; p < order.size(); ++p)
            row[order[p]] = columns[p * m_rows + r];
    }
}

template void RowPanel::gather(std::span<const float>, std::span<const std::uint32_t>, std::span<float>) const;
template void RowPanel::gather(
    std::span<const std::uint32_t>, std::span<const std::uint32_t>, std::span<std::uint32_t>) const;
template void RowPanel::scatter(std::span<const float>, std::span<const std::uint32_t>, std::span<float>) const;
template void RowPanel::scatter(
    std::span<const std::uint32_t>, std::span<const std::uint32_t>, std::span<std::uint32_t>) const;

void RowPanel::readGrids(std::span<const UnitGrid> matrix)
{
    const std::size_t units = m_quantizer.unitsPerRow();
    for (std::size_t r = 0; r < m_rows; ++r)
        for (std::size_t unit = 0; unit < units; ++unit)
            m_grids[unit * m_rows + r] = m_quantizer.wholeTensor()
                ? matrix.front()
                : matrix[(m_firstRow + r) / m_quantizer.rowsPerUnit() * units + unit];
}

void RowPanel::writeGrids(std::span<UnitGrid> matrix) const
{
    const std::size_t units = m_quantizer.unitsPerRow();
    for (std::size_t r = 0; r < m_rows; ++r)
        for (std::size_t unit = 0; unit < units; ++unit)
            matrix[(m_firstRow + r) * units + unit] = m_grids[unit * m_rows + r];
}

std::size_t RowPanel::unitOf(std::size_t column) const
{
    return m_quantizer.wholeTensor() ? 0 : column / m_quantizer.unitLength();
}

void RowPanel::round(
    std::size_t column, std::span<const float> weights, std::span<std::uint32_t> codes, std::span<float> rounded) const
{
    const Scheme& scheme = m_quantizer.scheme();
    const auto grids = std::span(m_grids).subspan(unitOf(column) * m_rows, m_rows);
    if (isInteger(scheme.format)) {
        kernels::integerRoundColumn(weights, grids, integerCodesOf(scheme), codes, rounded);
        return;
    }
    const GridMethods& format = *m_quantizer.format().grid;
    format.encode(scheme, {m_rows, 1, false}, weights, grids, codes);
    format.decode(scheme, {m_rows, 1, false}, codes, grids, rounded);
}

void RowPanel::decode(std::size_t column, std::span<const std::uint32_t> codes, std::span<float> rounded) const
{
    const auto grids = std::span(m_grids).subspan(unitOf(column) * m_rows, m_rows);
    m_quantizer.format().grid->decode(m_quantizer.scheme(), {m_rows, 1, false}, codes, grids, rounded);
}

}  // namespace quantloupe
