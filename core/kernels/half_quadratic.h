// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// The most iterations of the half-quadratic solver (HQQ's default).
constexpr std::size_t halfQuadraticIterations = 20;

/// Σ|w − ŵ| of each iteration, before the iteration moves the zero points, over the finite weights.
struct HalfQuadraticSums {
    std::array<double, halfQuadraticIterations> absError {};
    std::uint64_t count = 0;  ///< finite weights

    HalfQuadraticSums& operator+=(const HalfQuadraticSums& other);
};

/// Moves the zero points of units by HQQ's solver (p = 0.7, β = 10·1.01^k in iteration k): in each of `iterations`
///
///     q = clamp(round(w·inverse + zero), 0, highest)    e = w − (q − zero)/inverse
///     wₑ = sign(e)·max(|e| − |e|^−0.3/β, 0)             zero = mean over the unit of q − (w − wₑ)·inverse
///
/// in float, each operation rounded by itself; the mean is summed in double, element i of a unit in lane i mod 8, lanes
/// then from 0 to 7. Weights that are not finite take no part. Units whose inverse is 0 are left as they are, and what
/// they err is not counted. Every target returns the bits of the reference.
/// @pre rows hold whole rows of `shape`; one inverse (0, or at least highest / (2 · the largest |w|), which is at most
/// 2^120) and one zero per unit;
/// highest ≤ 65,535; iterations ≤ halfQuadraticIterations
HalfQuadraticSums halfQuadraticZeros(std::span<const float> rows, const UnitShape& shape, float highest,
    std::size_t iterations, std::span<const float> inverses, std::span<float> zeros);
HalfQuadraticSums halfQuadraticZerosReference(std::span<const float> rows, const UnitShape& shape, float highest,
    std::size_t iterations, std::span<const float> inverses, std::span<float> zeros);

}  // namespace quantloupe::kernels
