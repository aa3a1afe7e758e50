// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <algorithm>
#include <limits>
#include <span>

namespace quantloupe::kernels {

/// Smallest and largest finite value; minimum > maximum where there is none. Zeros are +0.
struct FiniteRange {
    float minimum = std::numeric_limits<float>::infinity();
    float maximum = -std::numeric_limits<float>::infinity();

    bool empty() const { return minimum > maximum; }
    float absMax() const { return empty() ? 0.0F : std::max(-minimum, maximum); }
    bool operator==(const FiniteRange&) const = default;
};

/// NaN and infinities are passed over. Exact: every target returns the bits of the reference.
FiniteRange rangeOf(std::span<const float> values);
FiniteRange rangeOfReference(std::span<const float> values);

/// One range per unit, row after row. @pre rows hold whole rows, ranges.size() == rows × unitsPerRow; shape.shared is
/// not looked at.
void rangesOfUnits(std::span<const float> rows, const UnitShape& shape, std::span<FiniteRange> ranges);

/// Mean of the finite |x| per unit, 0 where there are none: sums in double, so that targets agree to 1e-15.
void absMeansOfUnits(std::span<const float> rows, const UnitShape& shape, std::span<double> means);

/// Σ|x| over the finite values, and how many there are.
struct AbsSum {
    double sum = 0.0;
    std::size_t count = 0;
};
AbsSum absSumOf(std::span<const float> values);
AbsSum absSumOfReference(std::span<const float> values);

}  // namespace quantloupe::kernels
