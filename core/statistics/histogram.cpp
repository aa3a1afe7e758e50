// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/histogram.h"

#include "core/statistics/histogram_filler.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <numeric>

namespace quantloupe {

std::uint64_t Histogram::total() const
{
    return std::accumulate(counts.begin(), counts.end(), underflow + overflow);
}

void Histogram::add(std::span<const float> values)
{
    HistogramFiller filler(*this);
    filler.add(values);
    *this += filler.histogram();
}

double Histogram::quantile(double q) const
{
    const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(total());
    auto below = static_cast<double>(underflow);
    if (wanted < below)
        return low;
    for (std::size_t bin = 0; bin < counts.size(); ++bin) {
        const auto inside = static_cast<double>(counts[bin]);
        if (inside > 0.0 && wanted <= below + inside)
            return low + (static_cast<double>(bin) + (wanted - below) / inside) * binWidth();
        below += inside;
    }
    return high;
}

Histogram& Histogram::operator+=(const Histogram& other)
{
    assert(low == other.low && high == other.high && counts.size() == other.counts.size());
    std::transform(counts.begin(), counts.end(), other.counts.begin(), counts.begin(), std::plus<> {});
    underflow += other.underflow;
    overflow += other.overflow;
    return *this;
}

}  // namespace quantloupe
