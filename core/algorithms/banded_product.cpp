// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/banded_product.h"

#include <algorithm>

namespace quantloupe {
namespace {

using kernels::Matrix;
using kernels::Side;

/// Fewer rows or columns than these make slow products.
constexpr std::size_t leastBand = 64;

template<class Number>
Matrix<const Number> rowsOf(const Matrix<const Number>& matrix, Side side, std::size_t first, std::size_t count)
{
    return side == Side::Plain ? matrix.rowRange(first, count) : matrix.columnRange(first, count);
}

template<class Number>
Matrix<const Number> columnsOf(const Matrix<const Number>& matrix, Side side, std::size_t first, std::size_t count)
{
    return side == Side::Plain ? matrix.columnRange(first, count) : matrix.rowRange(first, count);
}

template<class Number>
bool addBands(Number scale, const Matrix<const Number>& a, Side sideOfA, const Matrix<const Number>& b, Side sideOfB,
    Number keep, const Matrix<Number>& c, const std::stop_token& stop)
{
    const auto depth = sideOfA == Side::Plain ? a.columns : a.rows;
    const bool byRows = c.rows >= c.columns;
    const auto extent = byRows ? c.rows : c.columns, across = byRows ? c.columns : c.rows;
    const auto fitting = productsPerBand / std::max<std::size_t>(1, depth * across);
    const auto band = std::max(leastBand, fitting / leastBand * leastBand);
    for (std::size_t first = 0; first < extent; first += band) {
        if (stop.stop_requested())
            return false;
        const auto count = std::min(band, extent - first);
        if (byRows)
            kernels::addProduct(
                scale, rowsOf(a, sideOfA, first, count), sideOfA, b, sideOfB, keep, c.rowRange(first, count));
        else
            kernels::addProduct(
                scale, a, sideOfA, columnsOf(b, sideOfB, first, count), sideOfB, keep, c.columnRange(first, count));
    }
    return !stop.stop_requested();
}

}  // namespace

bool addProductInBands(float scale, Matrix<const float> a, Side sideOfA, Matrix<const float> b, Side sideOfB,
    float keep, Matrix<float> c, const std::stop_token& stop)
{
    return addBands(scale, a, sideOfA, b, sideOfB, keep, c, stop);
}

bool addProductInBands(double scale, Matrix<const double> a, Side sideOfA, Matrix<const double> b, Side sideOfB,
    double keep, Matrix<double> c, const std::stop_token& stop)
{
    return addBands(scale, a, sideOfA, b, sideOfB, keep, c, stop);
}

bool solveLowerInBands(Matrix<const double> lower, Matrix<double> b, const std::stop_token& stop)
{
    constexpr std::size_t block = 256;
    for (std::size_t first = 0; first < b.rows; first += block) {
        const auto count = std::min(block, b.rows - first);
        const auto rows = b.rowRange(first, count);
        if (!addProductInBands(-1.0, lower.part(first, 0, count, first), Side::Plain, b.rowRange(0, first), Side::Plain,
                1.0, rows, stop))
            return false;
        kernels::solveLower(lower.part(first, first, count, count), rows);
    }
    return true;
}

}  // namespace quantloupe
