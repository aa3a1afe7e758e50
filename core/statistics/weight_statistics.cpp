// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/weight_statistics.h"

#include "core/base/not_a_number.h"
#include "core/kernels/weight_sums.h"
#include "core/statistics/median.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <utility>

namespace quantloupe {

namespace {

/// One slot for the mean itself, then one per point of the curve.
constexpr std::uint32_t distanceSlots = survivalPoints + 1;

/// Central moments of order 2, 3 and 4 from the sums about the pivot.
struct CentralMoments {
    double second = 0.0, third = 0.0, fourth = 0.0;
};

CentralMoments centralMoments(const Moments& moments)
{
    const auto n = static_cast<double>(moments.count);
    const double d = moments.sum1 / n;  // mean − pivot
    const double m2 = moments.sum2 / n, m3 = moments.sum3 / n, m4 = moments.sum4 / n;
    return {
        .second = std::max(0.0, m2 - d * d),
        .third = m3 - 3.0 * d * m2 + 2.0 * d * d * d,
        .fourth = m4 - 4.0 * d * m3 + 6.0 * d * d * m2 - 3.0 * d * d * d * d,
    };
}

}  // namespace

double Moments::mean() const
{
    return count == 0 ? notANumber : pivot + sum1 / static_cast<double>(count);
}

double Moments::standardDeviation() const
{
    return count == 0 ? notANumber : std::sqrt(centralMoments(*this).second);
}

double Moments::skewness() const
{
    if (count == 0)
        return notANumber;
    const auto central = centralMoments(*this);
    return central.second == 0.0 ? notANumber : central.third / std::pow(central.second, 1.5);
}

double Moments::excessKurtosis() const
{
    if (count == 0)
        return notANumber;
    const auto central = centralMoments(*this);
    return central.second == 0.0 ? notANumber : central.fourth / (central.second * central.second) - 3.0;
}

Moments& Moments::operator+=(const Moments& other)
{
    assert(pivot == other.pivot);
    count += other.count;
    sum1 += other.sum1;
    sum2 += other.sum2;
    sum3 += other.sum3;
    sum4 += other.sum4;
    return *this;
}

std::vector<std::uint32_t> outliersAmong(std::span<const float> maxima)
{
    if (maxima.size() < 3)
        return {};
    const auto limit = limitExceeded(maxima, 3.0);
    if (!limit)
        return {};
    std::vector<std::uint32_t> outliers;
    for (std::size_t i = 0; i < maxima.size(); ++i)
        if (static_cast<double>(maxima[i]) > *limit)
            outliers.push_back(static_cast<std::uint32_t>(i));
    return outliers;
}

WeightRanges::WeightRanges(double pivot, std::size_t columns)
    : moments {.pivot = pivot}
    , columnAbsMax(columns)
{
}

void WeightRanges::add(std::span<const float> rows, std::span<float> rowAbsMax)
{
    const auto columns = columnAbsMax.size();
    assert(rows.size() == rowAbsMax.size() * columns);
    for (std::size_t row = 0; row < rowAbsMax.size(); ++row) {
        const auto sums = kernels::weightSums(rows.subspan(row * columns, columns), moments.pivot, columnAbsMax);
        rowAbsMax[row] = sums.range.absMax();
        if (sums.count != 0) {
            minimum = moments.count == 0 ? sums.range.minimum : std::min(minimum, sums.range.minimum);
            maximum = moments.count == 0 ? sums.range.maximum : std::max(maximum, sums.range.maximum);
        }
        zeros += sums.zeros;
        nonFinite += columns - sums.count;
        moments += {.pivot = moments.pivot,
            .count = sums.count,
            .sum1 = sums.sum1,
            .sum2 = sums.sum2,
            .sum3 = sums.sum3,
            .sum4 = sums.sum4};
    }
}

void WeightRanges::add(std::span<const float> values, std::span<const std::uint64_t> counts)
{
    assert(values.size() == counts.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (counts[i] == 0)
            continue;
        if (!std::isfinite(values[i])) {
            nonFinite += counts[i];
            continue;
        }
        const float value = values[i] + 0.0F;  // both zeros are one
        minimum = moments.count == 0 ? value : std::min(minimum, value);
        maximum = moments.count == 0 ? value : std::max(maximum, value);
        zeros += value == 0.0F ? counts[i] : 0;
        const double x = static_cast<double>(value) - moments.pivot, times = static_cast<double>(counts[i]);
        moments += {.pivot = moments.pivot,
            .count = counts[i],
            .sum1 = times * x,
            .sum2 = times * (x * x),
            .sum3 = times * (x * x * x),
            .sum4 = times * (x * x * x * x)};
    }
}

WeightRanges& WeightRanges::operator+=(const WeightRanges& other)
{
    if (other.moments.count != 0) {
        minimum = moments.count == 0 ? other.minimum : std::min(minimum, other.minimum);
        maximum = moments.count == 0 ? other.maximum : std::max(maximum, other.maximum);
    }
    moments += other.moments;
    zeros += other.zeros;
    nonFinite += other.nonFinite;
    assert(columnAbsMax.size() == other.columnAbsMax.size());
    std::transform(columnAbsMax.begin(), columnAbsMax.end(), other.columnAbsMax.begin(), columnAbsMax.begin(),
        [](float a, float b) { return std::max(a, b); });
    return *this;
}

WeightSpread::WeightSpread(const WeightRanges& ranges, std::size_t bins)
    : m_histogram({.low = static_cast<double>(ranges.minimum),
        .high = static_cast<double>(ranges.maximum),
        .counts = std::vector<std::uint64_t>(bins)})
    , m_bins {.low = ranges.minimum, .high = ranges.maximum, .bins = static_cast<std::uint32_t>(bins)}
    , m_joint(bins)
{
    if (ranges.moments.count == 0)
        return;
    m_mean = static_cast<float>(ranges.moments.mean());
    m_step = static_cast<float>(0.25 * ranges.moments.standardDeviation());
}

void WeightSpread::add(std::span<const float> weights)
{
    // Without a spread nothing lies off the mean.
    if (m_step > 0.0F && m_bins.bins != 0)
        kernels::jointFill(weights, m_bins, m_mean, m_step, distanceSlots, m_joint);
    else
        m_histogram.add(weights);
}

void WeightSpread::add(std::span<const float> values, std::span<const std::uint64_t> counts)
{
    assert(values.size() == counts.size());
    Histogram counted {.low = static_cast<double>(m_bins.low),
        .high = static_cast<double>(m_bins.high),
        .counts = std::vector<std::uint64_t>(m_bins.bins)};
    const float density = m_bins.density();
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (counts[i] == 0 || !std::isfinite(values[i]))
            continue;
        if (m_bins.bins != 0) {
            const auto slot = kernels::histogramSlot(values[i], m_bins, density);
            (slot == 0                    ? counted.underflow
                    : slot <= m_bins.bins ? counted.counts[slot - 1]
                                          : counted.overflow) += counts[i];
        }
        if (m_step > 0.0F)
            if (const auto slot = kernels::distanceSlot(values[i], m_mean, m_step, distanceSlots); slot > 0)
                m_reached[slot - 1] += counts[i];
    }
    m_histogram += counted;
}

WeightSpread& WeightSpread::operator+=(const WeightSpread& other)
{
    assert(m_mean == other.m_mean && m_step == other.m_step);
    const auto more = other.reached();
    std::transform(m_reached.begin(), m_reached.end(), more.begin(), m_reached.begin(), std::plus<> {});
    m_histogram += other.histogram();
    return *this;
}

Histogram WeightSpread::histogram() const
{
    Histogram all = m_histogram.histogram();
    std::array<std::uint64_t, distanceSlots> ignored {};
    kernels::HistogramTotals totals {.counts = all.counts};
    kernels::jointFold(m_joint, m_bins, totals, ignored);
    all.underflow += totals.below;
    all.overflow += totals.above;
    return all;
}

std::array<std::uint64_t, survivalPoints> WeightSpread::reached() const
{
    std::array<std::uint64_t, distanceSlots> slots {};
    std::vector<std::uint64_t> ignored(m_bins.bins);
    kernels::HistogramTotals totals {.counts = ignored};
    kernels::jointFold(m_joint, m_bins, totals, slots);
    auto all = m_reached;
    for (std::size_t i = 0; i < survivalPoints; ++i)
        all[i] += slots[i + 1];
    return all;
}

WeightStatistics summarize(const WeightRanges& ranges, const WeightSpread& spread, std::vector<float> rowAbsMax)
{
    WeightStatistics result {
        .moments = ranges.moments,
        .minimum = static_cast<double>(ranges.minimum),
        .maximum = static_cast<double>(ranges.maximum),
        .absMax = static_cast<double>(std::max(std::abs(ranges.minimum), std::abs(ranges.maximum))),
        .zeros = ranges.zeros,
        .nonFinite = ranges.nonFinite,
        .histogram = spread.histogram(),
        .survival = std::vector<double>(survivalPoints),
        .rowAbsMax = std::move(rowAbsMax),
        .columnAbsMax = ranges.columnAbsMax,
    };
    const auto reached = spread.reached();
    std::uint64_t beyond = 0;
    for (std::size_t i = survivalPoints; i-- > 0;) {
        beyond += reached[i];
        if (i == 12)  // 12 quarters
            result.beyond3Sigma = beyond;
        if (i == 24)
            result.beyond6Sigma = beyond;
        if (ranges.moments.count != 0)
            result.survival[i] = static_cast<double>(beyond) / static_cast<double>(ranges.moments.count);
    }
    result.outlierRows = outliersAmong(result.rowAbsMax);
    result.outlierColumns = outliersAmong(result.columnAbsMax);
    result.percentile1 = result.histogram.quantile(0.01);
    result.percentile99 = result.histogram.quantile(0.99);
    return result;
}

}  // namespace quantloupe
