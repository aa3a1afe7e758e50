// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

namespace quantloupe {

/// The middle value; of an even number the mean of the two in the middle. @pre not empty, no NaN
double median(std::vector<double> values);

}  // namespace quantloupe
