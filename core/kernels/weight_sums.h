// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/ranges.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// What weight statistics are made of, over the finite weights: powers of x − pivot, in double throughout.
struct WeightSums {
    std::uint64_t count = 0;  ///< finite
    std::uint64_t zeros = 0;
    double sum1 = 0.0, sum2 = 0.0, sum3 = 0.0, sum4 = 0.0;
    FiniteRange range {};

    WeightSums& operator+=(const WeightSums& other);
};

/// One row, or one run of weights; columnAbsMax[i] becomes max(columnAbsMax[i], |w|) where w is finite.
/// Counts, range and columns are exact; sums are within n·2⁻⁵³ of the sum of their terms' sizes.
/// @pre columnAbsMax is as long as the row, or empty if not wanted
WeightSums weightSums(std::span<const float> row, double pivot, std::span<float> columnAbsMax);
WeightSums weightSumsReference(std::span<const float> row, double pivot, std::span<float> columnAbsMax);

}  // namespace quantloupe::kernels
