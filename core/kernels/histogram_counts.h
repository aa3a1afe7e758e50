// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe::kernels {

constexpr std::size_t maxHistogramBins = 512;

/// Equal bins over [low, high]; bin i covers [low + i·w, low + (i+1)·w), high itself belongs to the last one.
struct HistogramBins {
    float low = 0.0F;
    float high = 0.0F;         ///< high == low: the value low counts in bin 0
    std::uint32_t bins = 256;  ///< 1 … maxHistogramBins

    /// Bins per unit. Where the range is so small that it overflows, everything inside lands in the outer bins.
    float density() const;
};

/// Counters being filled: several tables in turn, since an increment waits for an earlier one of its counter.
/// Slot 0 is what lies below, slots 1 … bins the bins, then above, then non-finite. @pre at most 2³² values between
/// folds
struct HistogramTables {
    static constexpr std::size_t slots = maxHistogramBins + 3;
    static constexpr std::size_t count = 4;
    /// So that no slot lies a multiple of 4 KiB from one like it in another table: processors take such for the same
    /// at first, and wait.
    static constexpr std::size_t stride = slots + 257;
    std::array<std::array<std::uint32_t, stride>, count> tables {};
};

/// Totals of all values folded in so far.
struct HistogramTotals {
    std::span<std::uint64_t> counts;  ///< one per bin
    std::uint64_t below = 0;
    std::uint64_t above = 0;
    std::uint64_t nonFinite = 0;
};

/// The slots, in one table, of a finite value: what histogramFill() and distanceFill() count it in.
std::uint32_t histogramSlot(float x, const HistogramBins& bins, float density);
std::uint32_t distanceSlot(float x, float mean, float step, std::uint32_t distances);

/// Bin of x: (x − low)·density in float, cut off: an edge is blurred by 2⁻²³ of the distance to low.
/// Exact: every target counts as the reference does.
void histogramFill(std::span<const float> values, const HistogramBins& bins, HistogramTables& tables);
void histogramFillReference(std::span<const float> values, const HistogramBins& bins, HistogramTables& tables);

/// Adds the tables to the totals and clears them. @pre totals.counts.size() == bins.bins
void histogramFold(HistogramTables& tables, const HistogramBins& bins, HistogramTotals& totals);

/// Counts how far values lie from `mean` in steps of `step` > 0: slot i for (i − 1)·step < |x − mean| ≤ i·step, slot 0
/// for x == mean; the last of the `distances` slots has no upper end; then nonFinite. Differences and quotients in
/// float.
/// @pre 2 ≤ distances ≤ maxHistogramBins
void distanceFill(
    std::span<const float> values, float mean, float step, std::uint32_t distances, HistogramTables& tables);
void distanceFillReference(
    std::span<const float> values, float mean, float step, std::uint32_t distances, HistogramTables& tables);

/// Counters of both at once: one increment per value, in the cell of its bin and its distance. A bin meets few
/// distances, so that few cells are ever touched.
struct JointTable {
    static constexpr std::size_t mostDistances = 128;  ///< the one for what is not finite included
    /// Of the cells of a bin: a power of two would put those of many bins multiples of 4 KiB apart (see
    /// HistogramTables).
    static constexpr std::size_t stride = mostDistances + 4;
    std::vector<std::uint32_t> cells;

    explicit JointTable(std::size_t bins)
        : cells((bins + 3) * stride)
    {
    }
};

/// As histogramFill() and distanceFill(). @pre distances < JointTable::mostDistances; at most 2³² values between folds
void jointFill(std::span<const float> values, const HistogramBins& bins, float mean, float step,
    std::uint32_t distances, JointTable& table);
/// Adds the table to both totals; counts: one per distance.
void jointFold(
    const JointTable& table, const HistogramBins& bins, HistogramTotals& totals, std::span<std::uint64_t> counts);

/// Adds the tables to counts (one per slot) and clears them.
void distanceFold(HistogramTables& tables, std::span<std::uint64_t> counts, std::uint64_t& nonFinite);

}  // namespace quantloupe::kernels
