// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

namespace quantloupe::kernels {

/// A row-major matrix of float32 whose rows begin `stride` floats apart. Borrowed.
template<class Float>
struct Matrix {
    Float* data = nullptr;
    std::size_t rows = 0, columns = 0, stride = 0;

    /// Rows [first, first + count).
    Matrix rowRange(std::size_t first, std::size_t count) const
    {
        return {data + first * stride, count, columns, stride};
    }
    /// Columns [first, first + count).
    Matrix columnRange(std::size_t first, std::size_t count) const { return {data + first, rows, count, stride}; }
    Float* row(std::size_t index) const { return data + index * stride; }
    operator Matrix<const Float>() const { return {data, rows, columns, stride}; }
};
using ConstMatrix = Matrix<const float>;
using MutableMatrix = Matrix<float>;

/// result = scale · a · bᵀ: inputs [tokens × in] times weights [out × in]. By OpenBLAS on the calling thread alone, so
/// the same shapes and values give the same bits whatever runs beside it.
/// @pre a.columns == b.columns, result is a.rows × b.rows and overlaps neither; extents and strides fit in int
void multiplyByTransposed(ConstMatrix a, ConstMatrix b, MutableMatrix result, float scale = 1.0F);

/// result = a · b, likewise. @pre a.columns == b.rows, result is a.rows × b.columns
void multiply(ConstMatrix a, ConstMatrix b, MutableMatrix result);

}  // namespace quantloupe::kernels
