// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/five_numbers.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {

FiveNumbers fiveNumbers(std::vector<double> values)
{
    std::erase_if(values, [](double value) { return !std::isfinite(value); });
    if (values.empty()) {
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        return {unknown, unknown, unknown, unknown, unknown};
    }
    std::sort(values.begin(), values.end());
    const auto quantile = [&](double q) {
        const double position = q * static_cast<double>(values.size() - 1);
        const auto below = static_cast<std::size_t>(position);
        const auto above = std::min(below + 1, values.size() - 1);
        const double share = position - static_cast<double>(below);
        return values[below] + (values[above] - values[below]) * share;
    };
    return {values.front(), quantile(0.25), quantile(0.5), quantile(0.75), values.back()};
}

}  // namespace quantloupe
