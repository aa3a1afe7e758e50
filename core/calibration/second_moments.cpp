// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/second_moments.h"

#include <algorithm>
#include <limits>

namespace quantloupe {
namespace {

template<class Number>
std::vector<double> bothHalves(const MomentLayout& layout, std::span<const Number> kept)
{
    const auto columns = layout.columns();
    std::vector<double> whole(columns * columns);
    for (const auto& square : layout.squares())
        for (std::size_t i = 0; i < square.rows; ++i)
            for (std::size_t j = 0; j < square.columns; ++j) {
                const auto row = square.row + i, column = square.column + j;
                if (column < row)
                    continue;  // on the diagonal the upper half counts for both
                const auto value = static_cast<double>(kept[square.offset + i * square.columns + j]);
                whole[row * columns + column] = value;
                whole[column * columns + row] = value;
            }
    return whole;
}

}  // namespace

MomentLayout::MomentLayout(std::size_t columns)
    : m_columns(columns)
{
    for (std::size_t row = 0; row < columns; row += side)
        for (auto column = row; column < columns; column += side) {
            const MomentSquare square {.row = row,
                .column = column,
                .rows = std::min(side, columns - row),
                .columns = std::min(side, columns - column),
                .offset = m_size};
            m_size += square.rows * square.columns;
            m_squares.push_back(square);
        }
}

std::uint64_t MomentLayout::sizeFor(std::uint64_t columns)
{
    // Half of all squares and half of the diagonal's: n²/2 + Σ side²/2.
    const auto whole = columns / side, rest = columns % side;
    std::uint64_t all = 0;
    if (__builtin_mul_overflow(columns, columns, &all))
        return std::numeric_limits<std::uint64_t>::max();
    return (all - whole * side * side - rest * rest) / 2 + whole * side * side + rest * rest;
}

void SecondMoments::add(const MomentSquare& square, std::span<const kernels::ConstMatrix> pieces)
{
    std::vector<float> products(square.rows * square.columns);
    const kernels::MutableMatrix result {products.data(), square.rows, square.columns, square.columns};
    float keep = 0.0F;
    for (const auto& piece : pieces) {
        kernels::addProduct(1.0F, piece.columnRange(square.row, square.rows), kernels::Side::Transposed,
            piece.columnRange(square.column, square.columns), kernels::Side::Plain, keep, result);
        keep = 1.0F;
    }
    double* sums = m_values.data() + square.offset;
    for (std::size_t i = 0; i < products.size(); ++i)
        sums[i] += static_cast<double>(products[i]);
}

void SecondMoments::add(std::span<const float> stored)
{
    if (stored.empty())
        return;
    allocate();
    for (std::size_t i = 0; i < stored.size(); ++i)
        m_values[i] += static_cast<double>(stored[i]);
}

std::vector<double> SecondMoments::whole() const
{
    if (m_values.empty())
        return std::vector<double>(m_layout.columns() * m_layout.columns());
    return bothHalves(m_layout, values());
}

std::vector<double> wholeMoments(const MomentLayout& layout, std::span<const float> stored)
{
    return bothHalves(layout, stored);
}

}  // namespace quantloupe
