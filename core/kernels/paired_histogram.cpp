// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/paired_histogram.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/paired_histogram.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template<std::size_t at, std::size_t count>
HWY_INLINE void countPairs(const std::uint32_t* HWY_RESTRICT cells, std::uint16_t* HWY_RESTRICT pairs)
{
    if constexpr (at < count) {
        ++pairs[cells[at]];
        countPairs<at + 1, count>(cells, pairs);
    }
}

// Counts as many values as fill whole pairs of vectors, all inside the range. Returns how many those are.
std::size_t FillPairs(
    const float* HWY_RESTRICT values, std::size_t count, const HistogramBins& bins, std::uint16_t* HWY_RESTRICT pairs)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::RebindToSigned<decltype(d)> di;
    constexpr std::size_t lanes = hn::MaxLanes(d);
    const auto low = hn::Set(d, bins.low), density = hn::Set(d, bins.density());
    const auto last = hn::Set(d, static_cast<float>(bins.bins - 1));
    const auto binsOf = [&](std::size_t at) HWY_ATTR {
        const auto x = hn::LoadU(d, values + at);
        return hn::BitCast(du, hn::ConvertTo(di, hn::Min(hn::Mul(hn::Sub(x, low), density), last)));
    };
    const auto cellsOf = [&](std::size_t at)
                             HWY_ATTR { return hn::Or(binsOf(at), hn::ShiftLeft<8>(binsOf(at + lanes))); };
    std::size_t i = 0;
    HWY_ALIGN std::uint32_t cells[2 * lanes];
    for (; i + 4 * lanes <= count; i += 4 * lanes) {
        hn::Store(cellsOf(i), du, cells);
        hn::Store(cellsOf(i + 2 * lanes), du, cells + lanes);
        countPairs<0, 2 * lanes>(cells, pairs);
    }
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        hn::Store(cellsOf(i), du, cells);
        countPairs<0, lanes>(cells, pairs);
    }
    return i;
}

// Sums of the rows and columns first … last of the table, added to counts; those cells are cleared. All pairs together
// fit into 16 bits.
void FoldPairs(std::uint16_t* HWY_RESTRICT pairs, std::size_t first, std::size_t last, std::uint64_t* counts)
{
    const hn::ScalableTag<std::uint16_t> d;
    constexpr std::size_t bins = PairedHistogram::bins;
    constexpr std::size_t lanes = hn::MaxLanes(d);
    HWY_ALIGN std::uint16_t columns[bins] = {};
    HWY_ALIGN std::uint16_t sums[lanes];
    const std::size_t start = first / lanes * lanes;
    for (std::size_t row = first; row <= last; ++row) {
        auto sum = hn::Zero(d);
        for (std::size_t column = start; column <= last; column += lanes) {
            auto* at = pairs + row * bins + column;
            const auto cells = hn::LoadU(d, at);
            sum = hn::Add(sum, cells);
            hn::Store(hn::Add(hn::Load(d, columns + column), cells), d, columns + column);
            hn::StoreU(hn::Zero(d), d, at);
        }
        hn::Store(sum, d, sums);
        for (const std::uint16_t part : sums)
            counts[row] += part;
    }
    for (std::size_t column = 0; column < bins; ++column)
        counts[column] += columns[column];
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(FillPairs);
HWY_EXPORT(FoldPairs);

namespace {

constexpr std::size_t mostPending = 65'535;  // what 16 bits hold

std::size_t binOf(float value, const HistogramBins& bins)
{
    return static_cast<std::size_t>(std::min((value - bins.low) * bins.density(), static_cast<float>(bins.bins - 1)));
}

}  // namespace

PairedHistogram::PairedHistogram()
    : m_pairs(std::size_t {bins} * bins)
{
}

void PairedHistogram::add(std::span<const float> values, float absMax)
{
    if (!(absMax <= m_bins.high) || values.size() > mostPending) {
        histogramFill(values, m_bins, m_others);
        return;
    }
    if (m_pending + values.size() / 2 > mostPending)
        foldPairs();
    const auto counted = HWY_DYNAMIC_DISPATCH(FillPairs)(values.data(), values.size(), m_bins, m_pairs.data());
    m_pending += counted / 2;
    m_widest = std::max(m_widest, absMax);
    if (counted < values.size())
        histogramFill(values.subspan(counted), m_bins, m_others);
}

void PairedHistogram::foldPairs()
{
    if (m_pending == 0)
        return;
    HWY_DYNAMIC_DISPATCH(FoldPairs)
    (m_pairs.data(), binOf(-m_widest, m_bins), binOf(m_widest, m_bins), m_counts.data());
    m_pending = 0;
    m_widest = 0.0F;
}

void PairedHistogram::fold(HistogramTotals& totals)
{
    foldPairs();
    for (std::size_t bin = 0; bin < bins; ++bin) {
        totals.counts[bin] += m_counts[bin];
        m_counts[bin] = 0;
    }
    histogramFold(m_others, m_bins, totals);
}

}  // namespace quantloupe::kernels
#endif
