// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Where a quantile lies among n ascending values: value[below] and value[above], and how far between them (0 … 1).
struct QuantilePosition {
    std::uint64_t below = 0;
    std::uint64_t above = 0;
    double fraction = 0.0;
};

/// numpy's method "linear": position (n − 1)·share. @pre n > 0, share in [0, 1]
QuantilePosition quantilePosition(std::uint64_t n, double share);

/// Between the two neighbours, in double, in the order of operations that numpy uses.
double interpolate(double below, double above, double fraction);

/// Quantile of the values, which are reordered. @pre not empty, no NaN
float quantileInPlace(std::span<float> values, double share);

/// quantileInPlace() where `weights` is empty; else the smallest value at which the values up to it hold that share of
/// all weight, without interpolation. Both spans are reordered together; a total weight of 0 counts as no weights.
float quantileOf(std::vector<float>& values, std::vector<float>& weights, double share);

/// Maps floats to integers in the same order (−0 just below +0), and back: what radix selection counts.
std::uint32_t orderedKey(float value);
float valueOfKey(std::uint32_t key);

}  // namespace quantloupe
