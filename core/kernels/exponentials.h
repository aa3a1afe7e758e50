// SPDX-License-Identifier: GPL-3.0-or-later
// Functions of exponentials: softmax, the SiLU and its slope. Source of the polynomials: Moshier, "Cephes mathematical
// library" (1984–1992), expf and exp. Where a result would be below the normal numbers it is 0; NaN stays NaN.
#pragma once

#include <span>

namespace quantloupe::kernels {

/// values = e^(values − max) / Σ, each within 4e-7 of itself and what rounding the distance to max to float changes.
/// @pre not empty
void softmax(std::span<float> values);
void softmaxReference(std::span<float> values);

/// Probabilities = e^(values − max) / Σ in double, each within 1e-14 of itself; returns max + log Σ, so that
/// log p = value − what it returns. @pre not empty, of one size
double logSoftmax(std::span<const float> values, std::span<double> probabilities);
double logSoftmaxReference(std::span<const float> values, std::span<double> probabilities);

/// result = x / (1 + e^−x), times `up` unless that is empty, each within 6e-7 of itself or 1e-35. It may lie on x.
/// @pre of one size
void silu(std::span<const float> x, std::span<const float> up, std::span<float> result);
void siluReference(std::span<const float> x, std::span<const float> up, std::span<float> result);

/// Of silu(): from the gradient by its result to those by x and, unless that is empty, by up. @pre of one size
void siluBackward(std::span<const float> x, std::span<const float> up, std::span<const float> resultGradient,
    std::span<float> xGradient, std::span<float> upGradient);
void siluBackwardReference(std::span<const float> x, std::span<const float> up, std::span<const float> resultGradient,
    std::span<float> xGradient, std::span<float> upGradient);

}  // namespace quantloupe::kernels
