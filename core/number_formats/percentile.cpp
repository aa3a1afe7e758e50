// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/percentile.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
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

namespace {

/// Puts value number `rank` of the order in its place, the ones before it before it. A rank near the beginning is
/// looked for among the few values that a sample says may come so early, which takes one pass over the others.
template<class Before>
void selectInPlace(std::span<float> values, std::size_t rank, const Before& before)
{
    constexpr std::size_t sampled = 256, few = 16;
    const auto place = [](std::span<float> part, std::size_t at) {
        return part.begin() + static_cast<std::ptrdiff_t>(at);
    };
    auto candidates = values;
    if (values.size() >= 4 * sampled && rank < values.size() / few) {
        std::array<float, sampled> taken {};
        const std::span<float> sample(taken);
        for (std::size_t i = 0; i < sampled; ++i)
            sample[i] = values[i * values.size() / sampled];
        // Three deviations further than expected, and a little where next to nothing is expected.
        const double expected =
            static_cast<double>(rank + 1) * static_cast<double>(sampled) / static_cast<double>(values.size());
        const auto last = static_cast<std::size_t>(expected + 3.0 * std::sqrt(expected) + 3.0);
        std::nth_element(sample.begin(), place(sample, last), sample.end(), before);
        const float end = sample[last];
        std::size_t found = 0;
        for (float& value : values) {
            const float moved = std::exchange(value, values[found]);
            values[found] = moved;
            found += before(end, moved) ? 0 : 1;
        }
        if (found > rank)
            candidates = values.first(found);
    }
    std::nth_element(candidates.begin(), place(candidates, rank), candidates.end(), before);
}

}  // namespace

float quantileInPlace(std::span<float> values, double share)
{
    const QuantilePosition position = quantilePosition(values.size(), share);
    const auto n = values.size(), below = static_cast<std::size_t>(position.below);
    float low = 0.0F, high = 0.0F;
    if (below >= n / 2) {
        const auto fromTop = n - 1 - below;
        selectInPlace(values, fromTop, std::greater<> {});
        low = high = values[fromTop];
        // Everything before is no smaller: the neighbour above is the smallest of it.
        if (position.above != position.below)
            high = *std::min_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(fromTop));
    } else {
        // The neighbour above is the next of the order: what comes before it holds the one below.
        const auto above = static_cast<std::size_t>(position.above);
        selectInPlace(values, above, std::less<> {});
        high = values[above];
        low = *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(below + 1));
    }
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
