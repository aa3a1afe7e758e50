// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/statistics/histogram_filler.h"

#include <array>
#include <cstdint>
#include <span>
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
    Moments moments {};
    double minimum = 0.0, maximum = 0.0, absMax = 0.0;  ///< finite values; 0 when there are none
    std::uint64_t zeros = 0;
    std::uint64_t nonFinite = 0;
    std::uint64_t beyond3Sigma = 0;  ///< |w − mean| > 3σ
    std::uint64_t beyond6Sigma = 0;
    Histogram histogram {};  ///< minimum … maximum, 256 bins
    /// survival[i] = share of weights with |w − mean| > 0.25·i·σ, i = 0 … 80 (20σ).
    std::vector<double> survival {};
    std::vector<float> rowAbsMax {};     ///< per output channel
    std::vector<float> columnAbsMax {};  ///< per input channel
    /// Rows whose absmax exceeds 3 × the median row absmax, ascending; the same for columns.
    std::vector<std::uint32_t> outlierRows {}, outlierColumns {};
    double percentile1 = 0.0, percentile99 = 0.0;  ///< from the histogram

    bool operator==(const WeightStatistics&) const = default;
};

/// Points of the survival curve, a quarter of σ apart, from 0 to 20σ.
constexpr std::size_t survivalPoints = 81;

/// Indices of the maxima that exceed 3 × their median, ascending. Nothing stands out of fewer than three.
std::vector<std::uint32_t> outliersAmong(std::span<const float> maxima);

/// What a first pass over a tensor gathers. Pieces merge by +=, in index order for the same bits every time.
/// Non-finite weights are counted and else passed over.
struct WeightRanges {
    Moments moments {};
    float minimum = 0.0F, maximum = 0.0F;  ///< valid where moments.count != 0
    std::uint64_t zeros = 0;
    std::uint64_t nonFinite = 0;
    std::vector<float> columnAbsMax {};

    WeightRanges(double pivot, std::size_t columns);
    /// Adds whole rows; rowAbsMax takes one value per row.
    void add(std::span<const float> rows, std::span<float> rowAbsMax);
    /// Adds values so many times each; the maxima of columns are the caller's.
    void add(std::span<const float> values, std::span<const std::uint64_t> counts);
    WeightRanges& operator+=(const WeightRanges& other);
};

/// What a second pass gathers, once mean, σ and range are known.
class WeightSpread
{
public:
    explicit WeightSpread(const WeightRanges& ranges, std::size_t bins = 256);
    void add(std::span<const float> weights);
    /// Values so many times each.
    void add(std::span<const float> values, std::span<const std::uint64_t> counts);
    WeightSpread& operator+=(const WeightSpread& other);

    Histogram histogram() const;
    /// Element i: weights with |w − mean| > 0.25·i·σ but not > 0.25·(i+1)·σ; the last one has no upper end.
    std::array<std::uint64_t, survivalPoints> reached() const;

private:
    float m_mean = 0.0F, m_step = 0.0F;
    HistogramFiller m_histogram;  ///< what is not in m_joint
    kernels::HistogramBins m_bins;
    kernels::JointTable m_joint;
    std::array<std::uint64_t, survivalPoints> m_reached {};  ///< likewise
};

/// The whole picture from both passes.
WeightStatistics summarize(const WeightRanges& ranges, const WeightSpread& spread, std::vector<float> rowAbsMax);

}  // namespace quantloupe
