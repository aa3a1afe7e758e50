// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// The middle value; of an even number the mean of the two in the middle. @pre not empty, no NaN
double median(std::vector<double> values);

/// `factor` times the median, if any value is larger: told by one look at each that none is, where most are near the
/// largest. @pre values are not negative, factor > 0, no NaN
std::optional<double> limitExceeded(std::span<const float> values, double factor);

}  // namespace quantloupe
