// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe::kernels {

/// What is the same for all parameters in one step of Adam.
struct AdamFactors {
    double firstDecay = 0.9, secondDecay = 0.99, epsilon = 1e-8;
    double firstBias = 1.0, secondBias = 1.0;  ///< 1 − decay^step
    double rate = 0.0, weightDecay = 0.0;
};

/// One step of Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019), in double, number by
/// number: m = β₁·m + (1 − β₁)·g, v = β₂·v + (1 − β₂)·g², p −= rate·(m̂ / (√v̂ + ε) + decay·p). `first` and `second` keep
/// m and v as float. Every target returns the bits of the reference.
/// @pre all four of the same size
void adamUpdate(std::span<float> parameters, std::span<const float> gradient, std::span<float> first,
    std::span<float> second, const AdamFactors& factors);
void adamUpdateReference(std::span<float> parameters, std::span<const float> gradient, std::span<float> first,
    std::span<float> second, const AdamFactors& factors);

}  // namespace quantloupe::kernels
