// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/level_fitting.h"

#include <hwy/contrib/sort/vqsort.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::size_t exactLimit = 1024;
constexpr std::size_t runCount = 256;
constexpr int mostIterations = 100;

// Ascending values with Σ weight, Σ weight·value and Σ weight·value² of those before each, all counted from the value
// in the middle and to both sides of it: differences of squares lose few digits so, even beside a value far from all
// others.
class SortedValues
{
public:
    SortedValues(std::vector<double> values, std::span<const double> weights)
        : m_values(std::move(values))
        , m_weight(m_values.size() + 1)
        , m_first(m_values.size() + 1)
        , m_second(m_values.size() + 1)
    {
        const std::size_t middle = m_values.size() / 2;
        m_center = m_values.empty() ? 0.0 : m_values[middle];
        const auto step = [&](std::size_t from, std::size_t to, std::size_t i, double sign) {
            const double value = m_values[i] - m_center, weight = sign * weights[i];
            m_weight[to] = m_weight[from] + weight;
            m_first[to] = m_first[from] + weight * value;
            m_second[to] = m_second[from] + weight * value * value;
        };
        for (std::size_t i = middle; i < m_values.size(); ++i)
            step(i, i + 1, i, 1.0);
        for (std::size_t i = middle; i-- > 0;)
            step(i + 1, i, i, -1.0);
    }

    std::size_t size() const { return m_values.size(); }
    double value(std::size_t i) const { return m_values[i]; }
    double weight(std::size_t begin, std::size_t end) const { return m_weight[end] - m_weight[begin]; }
    double mean(std::size_t begin, std::size_t end) const
    {
        return m_center + (m_first[end] - m_first[begin]) / weight(begin, end);
    }
    /// Weighted squared error of values [begin, end) against their mean.
    double cost(std::size_t begin, std::size_t end) const
    {
        const double first = m_first[end] - m_first[begin];
        return std::max(0.0, m_second[end] - m_second[begin] - first * first / weight(begin, end));
    }
    /// The first value above a threshold, looked for from a place nearby.
    std::size_t firstAbove(double threshold, std::size_t near) const
    {
        while (near < size() && m_values[near] <= threshold)
            ++near;
        while (near > 0 && m_values[near - 1] > threshold)
            --near;
        return near;
    }

private:
    std::vector<double> m_values;
    std::vector<double> m_weight, m_first, m_second;
    double m_center = 0.0;
};

// Best costs of the first i values in one cluster more than `before` has; the best splits are in ascending order, so
// halving the range of candidates at each step finds all of them in n·log n. None lies before the best split into one
// cluster less.
struct Layer {
    const SortedValues& values;
    const std::vector<double>& before;
    const std::vector<std::size_t>& splitsBefore;
    std::vector<double>& costs;
    std::vector<std::size_t>& splits;

    void solve(std::size_t low, std::size_t high, std::size_t firstSplit, std::size_t lastSplit)
    {
        if (low > high)
            return;
        const std::size_t middle = low + (high - low) / 2;
        double least = std::numeric_limits<double>::infinity();
        std::size_t best = 0;
        const std::size_t end = std::min(lastSplit, middle - 1);
        for (std::size_t split = std::max(firstSplit, splitsBefore[middle]); split <= end; ++split)
            if (const double cost = before[split] + values.cost(split, middle); cost < least) {
                least = cost;
                best = split;
            }
        costs[middle] = least;
        splits[middle] = best;
        if (middle > low)
            solve(low, middle - 1, firstSplit, splits[middle]);
        solve(middle + 1, high, splits[middle], lastSplit);
    }
};

// @pre clusters ≤ values.size()
std::vector<double> optimalLevels(const SortedValues& values, std::size_t clusters)
{
    const std::size_t n = values.size();
    std::vector<double> before(n + 1, std::numeric_limits<double>::infinity()), costs(n + 1);
    std::vector<std::vector<std::size_t>> splits(clusters, std::vector<std::size_t>(n + 1));
    for (std::size_t i = 1; i <= n; ++i)
        before[i] = values.cost(0, i);
    for (std::size_t k = 1; k < clusters; ++k) {
        std::fill(costs.begin(), costs.end(), std::numeric_limits<double>::infinity());
        Layer {values, before, splits[k - 1], costs, splits[k]}.solve(k + 1, n, k, n - 1);
        std::swap(before, costs);
    }
    std::vector<double> levels(clusters);
    for (std::size_t k = clusters, end = n; k-- > 0;) {
        const std::size_t begin = k == 0 ? 0 : splits[k][end];
        levels[k] = values.mean(begin, end);
        end = begin;
    }
    return levels;
}

// Means of runs of neighbours. Half of them are as dense as levels should be: the cube root of the values' own density
// (Panter & Dite, 1951), so along sorted values each gap counts by its power 2/3. The others are of equally many
// values, or one value far from all others would leave nothing for those.
SortedValues runMeans(const SortedValues& values)
{
    std::vector<double> places(values.size());
    for (std::size_t i = 1; i < values.size(); ++i) {
        const double gap = values.value(i) - values.value(i - 1);
        places[i] = places[i - 1] + std::cbrt(gap * gap);
    }
    const double evenly = places.back() / static_cast<double>(values.size() - 1);
    for (std::size_t i = 1; i < values.size(); ++i)
        places[i] += evenly * static_cast<double>(i);
    std::vector<double> means, weights;
    for (std::size_t begin = 0; begin < values.size();) {
        const double next = places.back() * static_cast<double>(means.size() + 1) / static_cast<double>(runCount);
        const auto found = std::upper_bound(places.begin() + static_cast<std::ptrdiff_t>(begin), places.end(), next);
        const auto end = std::max(begin + 1, static_cast<std::size_t>(found - places.begin()));
        weights.push_back(values.weight(begin, end));
        means.push_back(values.mean(begin, end));
        begin = end;
    }
    return {std::move(means), weights};
}

void improve(const SortedValues& values, std::vector<double>& levels)
{
    std::vector<std::size_t> ends(levels.size(), values.size());  // of the values that are nearest to each
    for (std::size_t k = 0; k + 1 < levels.size(); ++k)
        ends[k] = values.firstAbove((levels[k] + levels[k + 1]) / 2.0, k == 0 ? 0 : ends[k - 1]);
    for (int iteration = 0; iteration < mostIterations; ++iteration) {
        bool moved = false;
        for (std::size_t k = 0, begin = 0; k < levels.size(); ++k) {
            if (k + 1 < levels.size())
                ends[k] = values.firstAbove((levels[k] + levels[k + 1]) / 2.0, ends[k]);
            const std::size_t end = ends[k];
            if (end > begin) {
                const double mean = values.mean(begin, end);
                moved = moved || mean != levels[k];
                levels[k] = mean;
                begin = end;
            }
        }
        if (!moved)
            return;
    }
}

// Ascending bits for ascending floats. @pre neither NaN nor −0
std::uint32_t orderedBits(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return bits >> 31U != 0 ? ~bits : bits | 0x80000000U;
}
float floatOfOrdered(std::uint32_t bits)
{
    return std::bit_cast<float>(bits >> 31U != 0 ? bits & 0x7FFFFFFFU : ~bits);
}

// Values, ascending, and how much each counts; equal ones are one, so that no two levels fall on it.
struct Distinct {
    std::vector<double> values {}, weights {};

    void add(double value, double weight)
    {
        if (!values.empty() && values.back() == value) {
            weights.back() += weight;
        } else {
            values.push_back(value);
            weights.push_back(weight);
        }
    }
};

Distinct distinctOf(std::span<const float> values)
{
    std::vector<float> sorted(values.begin(), values.end());
    hwy::Sorter()(sorted.data(), sorted.size(), hwy::SortAscending());
    Distinct distinct;
    for (const float value : sorted)
        distinct.add(static_cast<double>(value), 1.0);
    return distinct;
}

// Equal values in the order they came in, which their sum depends on.
Distinct distinctOf(std::span<const float> values, std::span<const float> weights)
{
    std::vector<std::uint64_t> keys;
    keys.reserve(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
        if (weights[i] > 0.0F)
            keys.push_back(std::uint64_t {orderedBits(values[i] + 0.0F)} << 32U | i);  // + 0: the zeros are one
    hwy::Sorter()(keys.data(), keys.size(), hwy::SortAscending());
    Distinct distinct;
    for (const auto key : keys)
        distinct.add(static_cast<double>(floatOfOrdered(static_cast<std::uint32_t>(key >> 32U))),
            static_cast<double>(weights[key & 0xFFFFFFFFU]));
    return distinct;
}

}  // namespace

std::vector<double> fitLevels(std::span<const float> values, std::span<const float> weights, std::size_t count)
{
    if (values.empty())
        return std::vector<double>(count, 0.0);
    const bool weighted = std::any_of(weights.begin(), weights.end(), [](float w) { return w > 0.0F; });
    auto distinct = weighted ? distinctOf(values, weights) : distinctOf(values);
    const SortedValues sorted(std::move(distinct.values), distinct.weights);
    const bool exact = sorted.size() <= exactLimit;
    const SortedValues means = exact ? SortedValues({}, {}) : runMeans(sorted);
    const SortedValues& parts = exact ? sorted : means;
    std::vector<double> levels = optimalLevels(parts, std::min(count, parts.size()));
    if (!exact)
        improve(sorted, levels);
    levels.resize(count, levels.back());
    return levels;
}

}  // namespace quantloupe
