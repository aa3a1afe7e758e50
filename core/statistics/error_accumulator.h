// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/line_allocator.h"
#include "core/kernels/fused_integer.h"
#include "core/statistics/error_statistics.h"
#include "core/statistics/histogram_filler.h"

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Gathers the error of quantized rows: totals, histogram and profile over the columns.
/// Pieces merge by +=, in index order for the same bits every time. One accumulator serves one task.
class ErrorAccumulator
{
public:
    /// `range`: R of the error histogram over −R … R, a value of a float; 0 where every error is expected to be zero.
    ErrorAccumulator(std::size_t columns, double range, std::size_t bins = 256);

    /// Adds whole rows; rowErrorEnergy takes one value per row. Non-finite originals are counted and else passed over.
    void add(std::span<const float> originals, std::span<const float> quantized, std::span<float> rowErrorEnergy);
    /// What one integer format adds to its own accumulator and rowErrorEnergy.
    struct IntegerPart {
        ErrorAccumulator* errors = nullptr;
        kernels::IntegerScheme scheme {};
        std::span<float> rowErrorEnergy {};
    };
    /// The same for rows that need not be quantized first: as add() and addClipped(), in one pass for all formats.
    /// @pre takesIntegers(); accumulators of different parts are different ones, of as many columns and with the same
    /// rows so far; as many rows for each
    static void addIntegers(std::span<const float> originals, std::span<const IntegerPart> parts);
    bool takesIntegers() const { return !m_histogram.isCounting() || kernels::canCount(m_histogram.bins()); }
    void addClipped(std::uint64_t count) { m_error.clipped += count; }
    ErrorAccumulator& operator+=(const ErrorAccumulator& other);

    const ErrorStatistics& error() const { return m_error; }
    /// −R … R. Where no error was met at all it is the one value 0, whatever the range.
    Histogram histogram() const;
    /// Σ(w−ŵ)² per column.
    std::vector<float> columnErrorEnergy() const;

private:
    void add(const kernels::ErrorSums& sums, std::size_t weights);
    void settleColumns();

    ErrorStatistics m_error {};
    HistogramFiller m_histogram;
    std::vector<double> m_columns;
    std::vector<float, LineAllocator<float>> m_recentColumns;  ///< of the last m_recentRows rows, not in m_columns yet
    std::size_t m_recentRows = 0;
};

}  // namespace quantloupe
