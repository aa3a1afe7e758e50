// SPDX-License-Identifier: GPL-3.0-or-later
// Softmax and normalisation without floating numbers, by the approximations of I-BERT (Kim et al., arXiv 2101.01321).
#pragma once

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Numbers are whole multiples of 2^−bits.
constexpr int scoreFractionBits = 10, probabilityFractionBits = 24, normalizedFractionBits = 12;

/// e^x of a score x ≤ 0, in units of integerExpUnit: algorithm 2 of the paper, 0.3585·(p + 1.353)² + 0.344 on
/// (−ln 2, 0] and a shift. Off by 0.3 % of the largest at most.
std::int32_t integerExp(std::int32_t score);
constexpr double integerExpUnit = 0.3585 / (1 << (2 * scoreFractionBits));

/// ⌊√n⌋: algorithm 4, Newton's method from above.
std::uint64_t integerSquareRoot(std::uint64_t n);

/// Probabilities by scores, all integerExp() of the distance to the largest over their sum, rounded down. Every target
/// returns the bits of the reference. Both may be the same memory.
/// @pre as many probabilities as scores, fewer than 2³⁰; |score| ≤ 2³⁰
void integerSoftmax(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities);
void integerSoftmaxReference(std::span<const std::int32_t> scores, std::span<std::int32_t> probabilities);

/// (x − mean)/√(variance + epsilon) of a row, or x/√(mean square + epsilon); epsilon in the same units as x². Sums and
/// the root are exact but for rounding down, the root to 2⁻⁸ of a unit.
/// @pre fewer than 2²⁰ values; 0 ≤ epsilon < 2⁴⁰
void integerNormalize(
    std::span<const std::int16_t> values, bool centered, std::int64_t epsilon, std::span<std::int32_t> result);

}  // namespace quantloupe::kernels
