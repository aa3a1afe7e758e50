// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/number_formats/quantizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Finds the one grid of a tensor-granularity scheme in as few passes over the tensor as its range needs, without ever
/// holding the tensor: 0 for minmax, 1 for absmean (ternary), entropy and mse, 2–3 for exact percentiles (radix
/// selection).
///
///     TensorRangeSearch search(quantizer, minimum, maximum, finiteCount);
///     while (search.needsPass()) {
///         auto total = search.emptyPartial();
///         for each tile: { auto part = search.emptyPartial(); search.add(part, tile); total merges part, in tile order
///         } search.finishPass(total);
///     }
///     UnitGrid grid = search.grid();
///
/// add() may run on many threads at once, each on its own partial.
class TensorRangeSearch
{
public:
    /// What one pass gathers; merging is addition, in a fixed order for floating sums.
    struct Partial {
        std::vector<std::uint64_t> counts;
        std::vector<double> sums;
        Partial& operator+=(const Partial& other);
    };

    /// minimum and maximum over the finite weights, finiteCount how many there are.
    TensorRangeSearch(const Quantizer& quantizer, float minimum, float maximum, std::uint64_t finiteCount);

    bool needsPass() const;
    Partial emptyPartial() const;
    void add(Partial& partial, std::span<const float> weights) const;
    void finishPass(const Partial& total);
    UnitGrid grid() const;

private:
    enum class Stage : std::uint8_t { Done, AbsMean, MseCandidates, Entropy, PercentileHigh, PercentileLow };
    void finishPercentile(const Partial& total);
    UnitGrid gridOf(float low, float high) const;
    Quantizer m_quantizer;
    float m_minimum = 0.0F, m_maximum = 0.0F;
    std::uint64_t m_count = 0;
    Stage m_stage = Stage::Done;
    std::vector<std::uint64_t> m_ranks {};  ///< wanted ranks; after the first percentile pass, inside their buckets
    std::vector<std::uint32_t> m_bucketOfRank {};  ///< upper key bits of each rank
    std::vector<std::uint32_t> m_prefixes {};      ///< the distinct ones among them, ascending
    UnitGrid m_grid {};
};

}  // namespace quantloupe
