// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>
#include <vector>

namespace quantloupe {

/// The middle value; of an even number the mean of the two in the middle. @pre not empty, no NaN
double median(std::vector<double> values);

/// Whether any value is larger than `factor` times the median: told by one look at each where most are near the
/// largest. @pre values are not negative, factor > 0, no NaN
bool anyBeyondMedian(std::span<const float> values, double factor);

}  // namespace quantloupe
