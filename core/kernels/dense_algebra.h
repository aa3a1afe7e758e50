// SPDX-License-Identifier: GPL-3.0-or-later
// Products and triangular factors of dense matrices by OpenBLAS, on the calling thread alone: the same shapes and
// values give the same bits whatever runs beside it. Extents and strides must fit in int.
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe::kernels {

/// Part of a row-major matrix: rows begin `stride` numbers apart. Borrowed.
template<class Number>
struct Panel {
    Number* data = nullptr;
    std::size_t rows = 0, columns = 0, stride = 0;

    Panel part(std::size_t row, std::size_t column, std::size_t rowCount, std::size_t columnCount) const
    {
        return {data + row * stride + column, rowCount, columnCount, stride};
    }
    Number* row(std::size_t index) const { return data + index * stride; }
    operator Panel<const Number>() const { return {data, rows, columns, stride}; }
};

/// A number of a matrix whose diagonal is about 1, as float: 0 where it is too small to matter. Products with numbers
/// below float's normal range take a hundred times as long.
inline float withoutDust(double value)
{
    return value < 1e-20 && value > -1e-20 ? 0.0F : static_cast<float>(value);
}

enum class Side : bool { Plain, Transposed };

/// c = keep·c + scale·op(a)·op(b). @pre the shapes fit
void addProduct(
    float scale, Panel<const float> a, Side sideOfA, Panel<const float> b, Side sideOfB, float keep, Panel<float> c);
void addProduct(double scale, Panel<const double> a, Side sideOfA, Panel<const double> b, Side sideOfB, double keep,
    Panel<double> c);

/// c[i][j] −= column[i]·row[j]. @pre c is column.size() × row.size()
void subtractOuterProduct(std::span<const float> column, std::span<const float> row, Panel<float> c);

/// a = L·Lᵀ in place: L lies in the lower triangle, which is all that is read or written. False: not positive definite.
bool choleskyFactor(Panel<double> a);
/// b = L⁻¹·b, L in the lower triangle
void solveLower(Panel<const double> lower, Panel<double> b);
/// b = b·L⁻ᵀ
void solveLowerTransposedRight(Panel<const double> lower, Panel<double> b);

}  // namespace quantloupe::kernels
