// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/tensor_range_search.h"

#include "core/kernels/power_error.h"
#include "core/kernels/ranges.h"
#include "core/number_formats/entropy_range.h"
#include "core/number_formats/number_format.h"
#include "core/number_formats/percentile.h"
#include "core/number_formats/unit_fitting.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe {
namespace {

// Radix selection: the first pass counts the upper 16 bits of ordered keys, the second the lower 16 bits behind each
// prefix that holds a wanted rank.
constexpr std::size_t bucketCount = 65536;
constexpr std::size_t chunkLength = 4096;

}  // namespace

TensorRangeSearch::Partial& TensorRangeSearch::Partial::operator+=(const Partial& other)
{
    for (std::size_t i = 0; i < counts.size(); ++i)
        counts[i] += other.counts[i];
    for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i] += other.sums[i];
    return *this;
}

TensorRangeSearch::TensorRangeSearch(
    const Quantizer& quantizer, float minimum, float maximum, std::uint64_t finiteCount)
    : m_quantizer(quantizer)
    , m_minimum(finiteCount == 0 ? 0.0F : minimum)
    , m_maximum(finiteCount == 0 ? 0.0F : maximum)
    , m_count(finiteCount)
{
    const GridBasis basis = m_quantizer.format().grid->basis(m_quantizer.scheme());
    const RangeEstimator::Kind kind = m_quantizer.scheme().range.kind;
    if (basis == GridBasis::None || finiteCount == 0) {
        m_grid = gridOf(0.0F, 0.0F);
        return;
    }
    if (basis == GridBasis::AbsMean) {
        m_stage = Stage::AbsMean;
        return;
    }
    if (basis == GridBasis::AbsMax) {
        m_maximum = std::max(-m_minimum, m_maximum);
        m_minimum = -m_maximum;
    }
    const bool anySize = m_maximum > 0.0F || m_minimum < 0.0F;
    if (kind == RangeEstimator::Kind::Mse) {
        m_stage = Stage::MseCandidates;
    } else if (kind == RangeEstimator::Kind::Entropy && anySize) {
        m_stage = Stage::Entropy;
    } else if (kind == RangeEstimator::Kind::Percentile) {
        m_stage = Stage::PercentileHigh;
        const double share = m_quantizer.scheme().range.percentile / 100.0;
        const QuantilePosition high = quantilePosition(m_count, share);
        m_ranks = {high.below, high.above};
        if (isTwoSided(m_quantizer.scheme())) {
            const QuantilePosition low = quantilePosition(m_count, 1.0 - share);
            m_ranks.insert(m_ranks.end(), {low.below, low.above});
        }
    } else {
        m_grid = gridOf(m_minimum, m_maximum);
    }
}

UnitGrid TensorRangeSearch::gridOf(float low, float high) const
{
    return m_quantizer.format().grid->gridOf(m_quantizer.scheme(), {low, high, std::max(-m_minimum, m_maximum)});
}

bool TensorRangeSearch::needsPass() const
{
    return m_stage != Stage::Done;
}

TensorRangeSearch::Partial TensorRangeSearch::emptyPartial() const
{
    switch (m_stage) {
    case Stage::Done: break;
    case Stage::AbsMean: return {std::vector<std::uint64_t>(1), std::vector<double>(1)};
    case Stage::MseCandidates: return {{}, std::vector<double>(shrinkCandidates)};
    case Stage::Entropy: return {{}, std::vector<double>(entropyBins)};
    case Stage::PercentileHigh: return {std::vector<std::uint64_t>(bucketCount), {}};
    case Stage::PercentileLow: return {std::vector<std::uint64_t>(bucketCount * m_prefixes.size()), {}};
    }
    return {};
}

void TensorRangeSearch::add(Partial& partial, std::span<const float> weights) const
{
    const Scheme& scheme = m_quantizer.scheme();
    switch (m_stage) {
    case Stage::Done: return;
    case Stage::AbsMean: {
        const kernels::AbsSum part = kernels::absSumOf(weights);
        partial.counts[0] += part.count;
        partial.sums[0] += part.sum;
        return;
    }
    case Stage::MseCandidates: {
        const float factor = kernels::powerErrorFactor(std::max(-m_minimum, m_maximum));
        std::array<float, chunkLength> quantized;
        for (std::size_t start = 0; start < weights.size(); start += chunkLength) {
            const auto chunk = weights.subspan(start, std::min(chunkLength, weights.size() - start));
            const kernels::UnitShape shape {chunk.size(), chunk.size(), true};
            const std::span<float> out(quantized.data(), chunk.size());
            for (std::size_t i = 0; i < shrinkCandidates; ++i) {
                const auto [low, high] = shrunkRange(m_minimum, m_maximum, i);
                const UnitGrid grid = gridOf(low, high);
                m_quantizer.format().grid->fakeQuantize(scheme, shape, chunk, {&grid, 1}, out);
                double error = 0.0;
                kernels::powerErrorsOfUnits(chunk, out, shape, {&factor, 1}, {&error, 1});
                partial.sums[i] += error;
            }
        }
        return;
    }
    case Stage::Entropy: countSizes(weights, {}, std::max(-m_minimum, m_maximum), partial.sums); return;
    case Stage::PercentileHigh:
    case Stage::PercentileLow: break;
    }
    const bool sized = !isTwoSided(scheme);
    for (const float weight : weights) {
        if (!std::isfinite(weight))
            continue;
        const std::uint32_t key = orderedKey(sized ? std::abs(weight) : weight);
        if (m_stage == Stage::PercentileHigh) {
            ++partial.counts[key >> 16U];
            continue;
        }
        for (std::size_t p = 0; p < m_prefixes.size(); ++p)
            if (key >> 16U == m_prefixes[p])
                ++partial.counts[p * bucketCount + (key & 0xFFFFU)];
    }
}

void TensorRangeSearch::finishPass(const Partial& total)
{
    const Scheme& scheme = m_quantizer.scheme();
    switch (m_stage) {
    case Stage::Done: return;
    case Stage::AbsMean: {
        const std::uint64_t count = total.counts[0];
        const auto mean = static_cast<float>(count == 0 ? 0.0 : total.sums[0] / static_cast<double>(count));
        m_grid = gridOf(mean, mean);
        break;
    }
    case Stage::MseCandidates: {
        // min_element returns the first of equals, as the original's strict comparison does.
        const auto best = std::min_element(total.sums.begin(), total.sums.end());
        const auto [low, high] = shrunkRange(m_minimum, m_maximum, static_cast<std::size_t>(best - total.sums.begin()));
        m_grid = gridOf(low, high);
        break;
    }
    case Stage::Entropy: {
        const kernels::FiniteRange cut = cutRange({m_minimum, m_maximum},
            entropyThreshold(
                total.sums, std::max(-m_minimum, m_maximum), static_cast<unsigned>(codeBits(scheme.format))));
        m_grid = gridOf(cut.minimum, cut.maximum);
        break;
    }
    case Stage::PercentileHigh: {
        // Each rank becomes its bucket and the rank inside it.
        std::vector<std::uint32_t> prefixes;
        for (std::uint64_t& rank : m_ranks) {
            std::size_t bucket = 0;
            while (bucket + 1 < bucketCount && rank >= total.counts[bucket])
                rank -= total.counts[bucket++];
            prefixes.push_back(static_cast<std::uint32_t>(bucket));
        }
        m_bucketOfRank = prefixes;
        std::sort(prefixes.begin(), prefixes.end());
        prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
        m_prefixes = std::move(prefixes);
        m_stage = Stage::PercentileLow;
        return;
    }
    case Stage::PercentileLow: finishPercentile(total); break;
    }
    m_stage = Stage::Done;
}

void TensorRangeSearch::finishPercentile(const Partial& total)
{
    std::vector<double> values;
    for (std::size_t r = 0; r < m_ranks.size(); ++r) {
        const auto prefix = std::find(m_prefixes.begin(), m_prefixes.end(), m_bucketOfRank[r]) - m_prefixes.begin();
        const auto counts =
            std::span(total.counts).subspan(static_cast<std::size_t>(prefix) * bucketCount, bucketCount);
        std::uint64_t rank = m_ranks[r];
        std::size_t low = 0;
        while (low + 1 < bucketCount && rank >= counts[low])
            rank -= counts[low++];
        values.push_back(static_cast<double>(valueOfKey(m_bucketOfRank[r] << 16U | static_cast<std::uint32_t>(low))));
    }
    const Scheme& scheme = m_quantizer.scheme();
    const double share = scheme.range.percentile / 100.0;
    const auto high = static_cast<float>(interpolate(values[0], values[1], quantilePosition(m_count, share).fraction));
    if (isTwoSided(scheme)) {
        const double fraction = quantilePosition(m_count, 1.0 - share).fraction;
        m_grid = gridOf(static_cast<float>(interpolate(values[2], values[3], fraction)), high);
    } else {
        m_grid = gridOf(m_minimum < 0.0F ? -high : 0.0F, high);
    }
}

UnitGrid TensorRangeSearch::grid() const
{
    return m_grid;
}

}  // namespace quantloupe
