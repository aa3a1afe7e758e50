// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

namespace quantloupe {

/// What a box plot draws. NaN throughout when there are no values.
struct FiveNumbers {
    double minimum, lowerQuartile, median, upperQuartile, maximum;
    bool operator==(const FiveNumbers&) const = default;
};

/// Order statistics of the finite values; quartiles are linear between neighbours at position (n−1)·q.
/// Source: Hyndman and Fan, The American Statistician 50(4), 1996, definition 7.
FiveNumbers fiveNumbers(std::vector<double> values);

}  // namespace quantloupe
