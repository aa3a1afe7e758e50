// SPDX-License-Identifier: GPL-3.0-or-later
// One row of an RMS or layer norm, y = (x − mean)·scale·(one + weight), there and back, and the softmax' way back. Sums
// in double.
#pragma once

#include <span>

namespace quantloupe::kernels {

struct NormScale {
    double mean = 0.0;   ///< of the row; 0 where none is subtracted
    double scale = 1.0;  ///< 1 / deviation
    bool centers = false;
    float one = 0.0F;  ///< what is added to each weight
};

/// Mean and scale of a row. Sums within 1e-14 of themselves. @pre not empty, `centers` and `one` as they are wished
NormScale normScaleOf(std::span<const float> x, double epsilon, NormScale wished);
NormScale normScaleOfReference(std::span<const float> x, double epsilon, NormScale wished);

/// result = (x − mean)·scale·(one + weight), each operation rounded to float. It may lie on x. @pre of one size
void normalize(
    std::span<const float> x, const NormScale& scale, std::span<const float> weight, std::span<float> result);
void normalizeReference(
    std::span<const float> x, const NormScale& scale, std::span<const float> weight, std::span<float> result);

/// Adds ∂loss/∂x to `xGradient` and ∂loss/∂weight to `weightGradient`, given that by the result: with d = dy·(one + w)
/// and x̂ = (x − mean)·scale, dx = scale·(d − mean d − x̂·mean(d·x̂)), without mean d where nothing is subtracted.
/// @pre of one size
void normalizeBackward(std::span<const float> x, const NormScale& scale, std::span<const float> weight,
    std::span<const float> resultGradient, std::span<float> xGradient, std::span<double> weightGradient);
void normalizeBackwardReference(std::span<const float> x, const NormScale& scale, std::span<const float> weight,
    std::span<const float> resultGradient, std::span<float> xGradient, std::span<double> weightGradient);

/// Of p = softmax(s), from the gradient by p to that by s, in place: p·(g − Σ p·g). @pre of one size
void softmaxBackward(std::span<const float> probabilities, std::span<float> gradient);
void softmaxBackwardReference(std::span<const float> probabilities, std::span<float> gradient);

}  // namespace quantloupe::kernels
