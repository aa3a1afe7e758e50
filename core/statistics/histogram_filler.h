// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/histogram_counts.h"
#include "core/statistics/histogram.h"

#include <cassert>
#include <span>
#include <vector>

namespace quantloupe {

/// Whether a HistogramFiller can take this shape: few enough bins, ends that are finite values of floats and in order.
bool isFillable(const Histogram& shape);

/// A histogram while it is being filled with many values: counts in small tables first, which is several times faster.
class HistogramFiller
{
public:
    /// Takes range and bins of `shape`, not its counts. Without bins nothing is counted.
    /// @pre isFillable(shape)
    explicit HistogramFiller(const Histogram& shape);

    /// Non-finite values are passed over.
    void add(std::span<const float> values);
    /// Range and tables, for kernels that count while they make the values.
    const kernels::HistogramBins& bins() const { return m_bins; }
    /// @pre isCounting()
    kernels::HistogramTables& tables()
    {
        assert(isCounting());
        return m_tables.front();
    }
    bool isCounting() const { return !m_tables.empty(); }
    HistogramFiller& operator+=(const HistogramFiller& other);
    HistogramFiller& operator+=(const Histogram& counted);
    Histogram histogram() const;

private:
    Histogram m_histogram;
    kernels::HistogramBins m_bins;
    std::vector<kernels::HistogramTables> m_tables;  ///< one, if anything is counted: they are large
};

}  // namespace quantloupe
