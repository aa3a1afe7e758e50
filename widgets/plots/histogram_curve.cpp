// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/histogram_curve.h"

#include <algorithm>
#include <cmath>

double drawnBinWidth(const quantloupe::Histogram& histogram)
{
    const double width = histogram.binWidth();
    return width > 0.0 ? width : std::max(std::abs(histogram.low) * 0.02, 1e-6);
}

int binAt(const quantloupe::Histogram& histogram, double place)
{
    if (histogram.counts.empty())
        return -1;
    const double width = drawnBinWidth(histogram);
    const double start = histogram.binWidth() > 0.0 ? histogram.low : histogram.low - width / 2;
    const double bin = std::floor((place - start) / width);
    return bin >= 0.0 && bin < static_cast<double>(histogram.counts.size()) ? static_cast<int>(bin) : -1;
}

HistogramCurve curveOf(const quantloupe::Histogram& histogram, BinHeight height, double floor)
{
    HistogramCurve curve;
    if (histogram.counts.empty())
        return curve;
    const double width = drawnBinWidth(histogram);
    const double total = static_cast<double>(histogram.total());
    const double factor = height == BinHeight::Density && total > 0.0 ? 1.0 / (total * width) : 1.0;
    const bool degenerate = histogram.binWidth() <= 0.0;
    // All values equal: everything lies in one bin, whose neighbours of no width are not drawn.
    const std::size_t bins = degenerate ? 1 : histogram.counts.size();
    const auto centre = [&](double bin) {
        return degenerate ? histogram.low + bin * width : histogram.low + (bin + 0.5) * width;
    };
    curve.keys << centre(-1.0);
    curve.values << floor;
    for (std::size_t bin = 0; bin < bins; ++bin) {
        std::uint64_t count = histogram.counts[bin];
        if (degenerate)
            for (std::size_t other = 1; other < histogram.counts.size(); ++other)
                count += histogram.counts[other];
        const double value = static_cast<double>(count) * factor;
        curve.keys << centre(static_cast<double>(bin));
        curve.values << std::max(value, floor);
        curve.largest = std::max(curve.largest, value);
        if (value > 0.0 && (curve.smallest == 0.0 || value < curve.smallest))
            curve.smallest = value;
    }
    curve.keys << centre(static_cast<double>(bins));
    curve.values << floor;
    return curve;
}
