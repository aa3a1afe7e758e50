// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/rank_correlation.h"

#include "core/base/not_a_number.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace quantloupe {

std::vector<double> ranksOf(std::span<const double> values)
{
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> ranks(values.size());
    for (std::size_t first = 0; first < order.size();) {
        auto last = first;
        while (last < order.size() && values[order[last]] == values[order[first]])
            ++last;
        const double shared = 0.5 * static_cast<double>(first + 1 + last);
        for (; first < last; ++first)
            ranks[order[first]] = shared;
    }
    return ranks;
}

double rankCorrelation(std::span<const double> a, std::span<const double> b)
{
    const auto ranksA = ranksOf(a), ranksB = ranksOf(b);
    const double mean = 0.5 * static_cast<double>(a.size() + 1);
    double products = 0.0, squaresA = 0.0, squaresB = 0.0;
    for (std::size_t i = 0; i < ranksA.size(); ++i) {
        products += (ranksA[i] - mean) * (ranksB[i] - mean);
        squaresA += (ranksA[i] - mean) * (ranksA[i] - mean);
        squaresB += (ranksB[i] - mean) * (ranksB[i] - mean);
    }
    const double scale = std::sqrt(squaresA * squaresB);
    return scale > 0.0 ? products / scale : notANumber;
}

}  // namespace quantloupe
