// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/ranges.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// What weight statistics are made of, over the finite weights: powers of x − pivot.
struct WeightSums {
    std::uint64_t count = 0;  ///< finite
    std::uint64_t zeros = 0;
    double sum1 = 0.0, sum2 = 0.0, sum3 = 0.0, sum4 = 0.0;
    FiniteRange range {};

    WeightSums& operator+=(const WeightSums& other);
};

/// One row, or one run of weights; columnAbsMax[i] becomes max(columnAbsMax[i], |w|) where w is finite.
/// Counts, range and columns are exact. Runs of 1,024 are summed in float lanes, then in double, where the pivot is a
/// float near their mean and no power leaves float's good range; elsewhere in double throughout. Sums are within
/// 2⁻²⁴·(1,024 / lanes + 8) of the sum of their terms' sizes, n·2⁻⁵³ elsewhere.
/// @pre columnAbsMax is as long as the row, or empty if not wanted
WeightSums weightSums(std::span<const float> row, double pivot, std::span<float> columnAbsMax);
WeightSums weightSumsReference(std::span<const float> row, double pivot, std::span<float> columnAbsMax);

}  // namespace quantloupe::kernels
