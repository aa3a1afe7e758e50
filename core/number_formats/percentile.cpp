// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/percentile.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

namespace quantloupe {

QuantilePosition quantilePosition(std::uint64_t n, double share)
{
    const double position = static_cast<double>(n - 1) * share;
    const double whole = std::floor(position);
    const auto below = std::min(static_cast<std::uint64_t>(whole), n - 1);
    return {below, std::min(below + 1, n - 1), position - whole};
}

double interpolate(double below, double above, double fraction)
{
    const double difference = above - below;
    return fraction < 0.5 ? below + difference * fraction : above - difference * (1.0 - fraction);
}

float quantileInPlace(std::span<float> values, double share)
{
    const QuantilePosition position = quantilePosition(values.size(), share);
    const auto below = values.begin() + static_cast<std::ptrdiff_t>(position.below);
    std::nth_element(values.begin(), below, values.end());
    const float low = *below;
    // Everything behind is no smaller: the neighbour above is the smallest of it.
    const float high = position.above == position.below ? low : *std::min_element(below + 1, values.end());
    return static_cast<float>(interpolate(static_cast<double>(low), static_cast<double>(high), position.fraction));
}

float quantileOf(std::vector<float>& values, std::vector<float>& weights, double share)
{
    double total = 0.0;
    for (const float weight : weights)
        total += static_cast<double>(weight);
    if (!(total > 0.0))
        return quantileInPlace(values, share);
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<float> sortedValues(values.size()), sortedWeights(values.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        sortedValues[i] = values[order[i]];
        sortedWeights[i] = weights[order[i]];
    }
    values = std::move(sortedValues);
    weights = std::move(sortedWeights);
    double below = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        below += static_cast<double>(weights[i]);
        if (below >= share * total)
            return values[i];
    }
    return values.back();
}

std::uint32_t orderedKey(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

float valueOfKey(std::uint32_t key)
{
    return std::bit_cast<float>(key & 0x80000000U ? key & 0x7FFFFFFFU : ~key);
}

}  // namespace quantloupe
