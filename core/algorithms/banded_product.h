// SPDX-License-Identifier: GPL-3.0-or-later
// Products of matrices as wide as a layer's inputs, cut so that a stop is noticed within some milliseconds.
#pragma once

#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <stop_token>

namespace quantloupe {

/// Multiplications between two looks at the stop token, at most, where the depth allows: a hundredth of a second.
constexpr std::size_t productsPerBand = std::size_t {1} << 28U;

/// c = keep·c + scale·op(a)·op(b) on the calling thread, in bands of c's rows or columns, whichever are more. The bits
/// do not depend on the stop. False: stopped, c is spoilt. @pre the shapes fit
bool addProductInBands(float scale, kernels::Matrix<const float> a, kernels::Side sideOfA,
    kernels::Matrix<const float> b, kernels::Side sideOfB, float keep, kernels::Matrix<float> c,
    const std::stop_token& stop);
bool addProductInBands(double scale, kernels::Matrix<const double> a, kernels::Side sideOfA,
    kernels::Matrix<const double> b, kernels::Side sideOfB, double keep, kernels::Matrix<double> c,
    const std::stop_token& stop);

/// b = L⁻¹·b, L in the lower triangle, block of rows by block of rows. False: stopped.
bool solveLowerInBands(kernels::Matrix<const double> lower, kernels::Matrix<double> b, const std::stop_token& stop);

}  // namespace quantloupe
