// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/statistics/histogram.h"

#include <cstdint>
#include <vector>

namespace quantloupe {

/// Moments of finite values, accumulated about a fixed pivot so that tiles merge by addition and a large mean does not
/// cancel the small spread. Kurtosis is excess (0 for a normal distribution).
struct Moments {
    double pivot = 0.0;
    std::uint64_t count = 0;
    double sum1 = 0.0, sum2 = 0.0, sum3 = 0.0, sum4 = 0.0;  ///< Σ(x−pivot)^k

    double mean() const;
    double standardDeviation() const;  ///< population
    double skewness() const;
    double excessKurtosis() const;
    Moments& operator+=(const Moments& other);  ///< @pre same pivot
    bool operator==(const Moments&) const = default;
};

/// Everything about a tensor's weights that no scheme changes.
struct WeightStatistics {
    Moments moments;
    double minimum = 0.0, maximum = 0.0, absMax = 0.0;   ///< finite values; 0 when there are none
    std::uint64_t zeros = 0;
    std::uint64_t nonFinite = 0;
    std::uint64_t beyond3Sigma = 0;                      ///< |w − mean| > 3σ
    std::uint64_t beyond6Sigma = 0;
    Histogram histogram;                                 ///< minimum … maximum, 256 bins
    /// survival[i] = share of weights with |w − mean| > 0.25·i·σ, i = 0 … 80 (20σ).
    std::vector<double> survival;
    std::vector<float> rowAbsMax;                        ///< per output channel
    std::vector<float> columnAbsMax;                     ///< per input channel
    /// Rows whose absmax exceeds 3 × the median row absmax, ascending; the same for columns.
    std::vector<std::uint32_t> outlierRows, outlierColumns;
    double percentile1 = 0.0, percentile99 = 0.0;        ///< from the histogram

    bool operator==(const WeightStatistics&) const = default;
};

}  // namespace quantloupe
