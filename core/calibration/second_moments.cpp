// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/second_moments.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <limits>

namespace quantloupe {
namespace {

/// Rows of the whole matrix, as many as a square has, at a time: nothing is cleared before it is written.
template<class Number>
std::vector<double> bothHalves(
    const MomentLayout& layout, std::span<const Number> kept, const std::stop_token& stop = {})
{
    const auto columns = layout.columns();
    const auto sides = (columns + MomentLayout::side - 1) / MomentLayout::side;
    std::vector<const MomentSquare*> squares(sides * sides);
    for (const auto& square : layout.squares())
        squares[square.row / MomentLayout::side * sides + square.column / MomentLayout::side] = &square;
    std::vector<double> whole, band;
    whole.reserve(columns * columns);
    for (std::size_t side = 0; side < sides && !stop.stop_requested(); ++side) {
        const auto first = side * MomentLayout::side, count = std::min(MomentLayout::side, columns - first);
        band.resize(count * columns);
        tbb::parallel_for(std::size_t {0}, sides, [&](std::size_t other) {
            // On the diagonal the upper half counts for both.
            const bool below = other < side;
            const auto& square = below ? *squares[other * sides + side] : *squares[side * sides + other];
            const auto width = below ? square.rows : square.columns;
            for (std::size_t i = 0; i < count; ++i)
                for (std::size_t j = 0; j < width; ++j) {
                    const bool turned = below || (other == side && j < i);
                    const auto at = turned ? j * square.columns + i : i * square.columns + j;
                    band[i * columns + other * MomentLayout::side + j] = static_cast<double>(kept[square.offset + at]);
                }
        });
        whole.insert(whole.end(), band.begin(), band.end());
    }
    if (stop.stop_requested())
        whole.clear();
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

void SecondMoments::add(std::span<const float> stored, const std::stop_token& stop)
{
    if (stored.empty())
        return;
    allocate();
    tbb::parallel_for(std::size_t {0}, m_layout.squares().size(), [&](std::size_t index) {
        if (stop.stop_requested())
            return;
        const auto& square = m_layout.squares()[index];
        for (auto i = square.offset; i < square.offset + square.rows * square.columns; ++i)
            m_values[i] += static_cast<double>(stored[i]);
    });
}

std::vector<double> SecondMoments::whole() const
{
    if (m_values.empty())
        return std::vector<double>(m_layout.columns() * m_layout.columns());
    return bothHalves(m_layout, values());
}

std::vector<double> wholeMoments(const MomentLayout& layout, std::span<const float> stored, const std::stop_token& stop)
{
    return bothHalves(layout, stored, stop);
}

}  // namespace quantloupe
