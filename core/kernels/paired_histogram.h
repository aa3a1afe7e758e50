// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/histogram_counts.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe::kernels {

/// Counters of a 256-bin histogram being filled: one counter per pair of bins, so that two values cost one increment;
/// what lies outside the range goes to tables of the usual kind. Large: one per thread, folded from tile to tile.
class PairedHistogram
{
public:
    static constexpr std::uint32_t bins = 256;
    PairedHistogram();

    /// Starts over with this range. @pre symmetric about 0 with `bins` bins; nothing unfolded
    void begin(const HistogramBins& shape) { m_bins = shape; }
    const HistogramBins& shape() const { return m_bins; }

    /// Counts as histogramFill() does. `absMax` ≥ every |value|, infinite or NaN where some value is not finite.
    void add(std::span<const float> values, float absMax);
    /// Adds all to the totals and clears. @pre totals.counts.size() == bins
    void fold(HistogramTotals& totals);

private:
    void foldPairs();

    HistogramBins m_bins {};
    std::vector<std::uint16_t> m_pairs;
    std::array<std::uint64_t, bins> m_counts {};
    HistogramTables m_others {};
    std::size_t m_pending = 0;  ///< pairs since the last fold
    float m_widest = 0.0F;      ///< largest |value| among them
};

}  // namespace quantloupe::kernels
