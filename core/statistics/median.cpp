// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/median.h"

#include <algorithm>
#include <cstddef>

namespace quantloupe {

double median(std::vector<double> values)
{
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return values.size() % 2 == 1 ? *middle : 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

std::optional<double> limitExceeded(std::span<const float> values, double factor)
{
    if (values.empty())
        return {};
    const auto largest = static_cast<double>(*std::max_element(values.begin(), values.end()));
    const auto near = std::count_if(
        values.begin(), values.end(), [=](float value) { return factor * static_cast<double>(value) >= largest; });
    // Then those in the middle are among them.
    if (2 * static_cast<std::size_t>(near) > values.size())
        return {};
    const double limit = factor * median({values.begin(), values.end()});
    return largest > limit ? std::optional(limit) : std::nullopt;
}

}  // namespace quantloupe
