// SPDX-License-Identifier: GPL-3.0-or-later
// From the 32-bit sums of an integer product to 8-bit codes of the next layer, by integers alone.
#pragma once

#include "core/kernels/dense_algebra.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// A positive real factor as runtimes for integers hold it: multiplier · 2^shift / 2³¹.
struct FixedPointFactor {
    std::int32_t multiplier = 0;  ///< in [2³⁰, 2³¹), or 0 for a factor of 0
    std::int32_t shift = 0;       ///< −31 … 30; positive: to the left, before the product
    bool operator==(const FixedPointFactor&) const = default;
};

/// The nearest there is, to 31 bits, as TensorFlow Lite's QuantizeMultiplier() makes it; below 2⁻³² it is 0, above the
/// largest the largest. @pre factor ≥ 0, finite
FixedPointFactor fixedPointFactor(double factor);

/// x · factor as gemmlowp and TensorFlow Lite round it (gemmlowp's fixedpoint/fixedpoint.h; Jacob et al., arXiv
/// 1712.05877, section 2.4): the high half of twice the product, rounded to the nearest, ties up; then the shift to the
/// right, rounded to the nearest, ties away from zero. So a result can be off by one from one rounding. A shift to the
/// left saturates x first, where the originals overflow.
std::int32_t multiplyByFactor(std::int32_t x, FixedPointFactor factor);

/// What a layer's sums become: clamp(sum·factor + zero, lowest, highest).
struct Requantization {
    std::span<const FixedPointFactor> factors {};  ///< of each output, or one for all
    std::int32_t zero = 0;
    std::int32_t lowest = -128, highest = 127;
};

/// Sums [tokens × outputs] to codes, row by row. Every target returns the bits of the reference.
/// @pre codes.size() == sums.rows × sums.columns; factors: one, or sums.columns; |zero| ≤ 255
void requantize(Matrix<const std::int32_t> sums, const Requantization& requantization, std::span<std::int8_t> codes);
void requantizeReference(
    Matrix<const std::int32_t> sums, const Requantization& requantization, std::span<std::int8_t> codes);

}  // namespace quantloupe::kernels
