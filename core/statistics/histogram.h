// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Counts of values in equal bins over [low, high), with what lies outside counted beside.
///
/// Bin i covers [low + i·w, low + (i+1)·w), w = (high − low)/bins; high itself belongs to the last bin.
/// Mergeable where low, high and bin count agree. What is not finite is never counted here.
struct Histogram {
    double low = 0.0;   ///< weight units
    double high = 0.0;  ///< weight units; low == high means that every value equals low
    std::vector<std::uint64_t> counts {};
    std::uint64_t underflow = 0;
    std::uint64_t overflow = 0;

    /// Counts every finite value. For many small pieces see HistogramFiller, whose limits hold here too.
    void add(std::span<const float> values);
    std::uint64_t total() const;  ///< outside included
    double binWidth() const { return counts.empty() ? 0.0 : (high - low) / static_cast<double>(counts.size()); }
    double center(std::size_t bin) const { return low + (static_cast<double>(bin) + 0.5) * binWidth(); }
    /// Value below which a share q of all values lies, linear inside the bin; low or high where it falls outside.
    double quantile(double q) const;
    /// @pre same low, high and bin count
    Histogram& operator+=(const Histogram& other);
    bool operator==(const Histogram&) const = default;
};

}  // namespace quantloupe
