// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/histogram_filler.h"

#include <cassert>
#include <cmath>
#include <limits>

namespace quantloupe {

bool isFillable(const Histogram& shape)
{
    const auto isFloat = [](double edge) {
        return std::abs(edge) <= static_cast<double>(std::numeric_limits<float>::max())
            && static_cast<double>(static_cast<float>(edge)) == edge;
    };
    return shape.counts.size() <= kernels::maxHistogramBins && isFloat(shape.low) && isFloat(shape.high)
        && shape.low <= shape.high;
}

HistogramFiller::HistogramFiller(const Histogram& shape)
    : m_histogram {.low = shape.low, .high = shape.high, .counts = std::vector<std::uint64_t>(shape.counts.size())}
    , m_bins {.low = static_cast<float>(shape.low),
          .high = static_cast<float>(shape.high),
          .bins = static_cast<std::uint32_t>(shape.counts.size())}
    , m_tables(shape.counts.empty() ? 0 : 1)
{
    assert(isFillable(shape));
}

void HistogramFiller::add(std::span<const float> values)
{
    if (isCounting())
        kernels::histogramFill(values, m_bins, tables());
}

HistogramFiller& HistogramFiller::operator+=(const HistogramFiller& other)
{
    return *this += other.histogram();
}

HistogramFiller& HistogramFiller::operator+=(const Histogram& counted)
{
    m_histogram += counted;
    return *this;
}

Histogram HistogramFiller::histogram() const
{
    Histogram all = m_histogram;
    if (!isCounting())
        return all;
    auto tables = m_tables.front();  // folding empties them
    kernels::HistogramTotals totals {.counts = all.counts};
    kernels::histogramFold(tables, m_bins, totals);
    all.underflow += totals.below;
    all.overflow += totals.above;
    return all;
}

}  // namespace quantloupe
