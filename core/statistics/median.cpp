// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/median.h"

#include <algorithm>

namespace quantloupe {

double median(std::vector<double> values)
{
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return values.size() % 2 == 1 ? *middle : 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

}  // namespace quantloupe
