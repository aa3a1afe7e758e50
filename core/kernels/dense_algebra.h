// SPDX-License-Identifier: GPL-3.0-or-later
// Products and triangular factors of dense matrices by OpenBLAS, on the calling thread alone: the same shapes and
// values give the same bits whatever runs beside it. Extents and strides must fit in int.
#pragma once

#include "core/base/error.h"

#include <cstddef>
#include <span>

namespace quantloupe::kernels {

/// A row-major matrix, or part of one, whose rows begin `stride` numbers apart. Borrowed.
template<class Number>
struct Matrix {
    Number* data = nullptr;
    std::size_t rows = 0, columns = 0, stride = 0;

    Matrix part(std::size_t row, std::size_t column, std::size_t rowCount, std::size_t columnCount) const
    {
        return {data + row * stride + column, rowCount, columnCount, stride};
    }
    /// Rows [first, first + count).
    Matrix rowRange(std::size_t first, std::size_t count) const { return part(first, 0, count, columns); }
    /// Columns [first, first + count).
    Matrix columnRange(std::size_t first, std::size_t count) const { return part(0, first, rows, count); }
    Number* row(std::size_t index) const { return data + index * stride; }
    operator Matrix<const Number>() const { return {data, rows, columns, stride}; }
};

using ConstMatrix = Matrix<const float>;
using MutableMatrix = Matrix<float>;

/// A number of a matrix whose diagonal is about 1, as float: 0 where it is too small to matter. Products with numbers
/// below float's normal range take a hundred times as long.
inline float withoutDust(double value)
{
    return value < 1e-20 && value > -1e-20 ? 0.0F : static_cast<float>(value);
}

enum class Side : bool { Plain, Transposed };

/// Loads OpenBLAS, before work that cannot do without. Errors: CannotOpen. Whoever does not ask, and computes where it
/// is missing, ends the program.
Result<void> requireProducts();

/// c = keep·c + scale·op(a)·op(b). @pre the shapes fit
void addProduct(
    float scale, Matrix<const float> a, Side sideOfA, Matrix<const float> b, Side sideOfB, float keep, Matrix<float> c);
void addProduct(double scale, Matrix<const double> a, Side sideOfA, Matrix<const double> b, Side sideOfB, double keep,
    Matrix<double> c);

/// result = scale · a · bᵀ: inputs [tokens × in] times weights [out × in].
/// @pre a.columns == b.columns, result is a.rows × b.rows and overlaps neither
void multiplyByTransposed(ConstMatrix a, ConstMatrix b, MutableMatrix result, float scale = 1.0F);

/// result = a · vector. @pre the sizes fit
void multiplyByVector(ConstMatrix a, std::span<const float> vector, std::span<float> result);

/// result = a · b. @pre a.columns == b.rows, result is a.rows × b.columns and overlaps neither
void multiply(ConstMatrix a, ConstMatrix b, MutableMatrix result);

/// c[i][j] −= column[i]·row[j]. @pre c is column.size() × row.size()
void subtractOuterProduct(std::span<const float> column, std::span<const float> row, Matrix<float> c);

/// a = L·Lᵀ in place: L lies in the lower triangle, which is all that is read or written. False: not positive definite.
bool choleskyFactor(Matrix<double> a);
/// b = L⁻¹·b, L in the lower triangle
void solveLower(Matrix<const double> lower, Matrix<double> b);
/// b = b·L⁻ᵀ
void solveLowerTransposedRight(Matrix<const double> lower, Matrix<double> b);

}  // namespace quantloupe::kernels
