// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>
#include <vector>

namespace quantloupe {

/// Ranks from 1 on, smallest first; equals share the mean of their places. @pre no NaN
std::vector<double> ranksOf(std::span<const double> values);

/// Spearman's rank correlation, −1 … 1: Pearson's of the ranks. NaN for fewer than two values or where one side has
/// no order. @pre equally many, no NaN
double rankCorrelation(std::span<const double> a, std::span<const double> b);

}  // namespace quantloupe
