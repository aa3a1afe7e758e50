// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/histogram_counts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/histogram_counts.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float largestFloat = std::numeric_limits<float>::max();

template<class D, class V = hn::Vec<D>>
auto slotsOf(D d, V x, const HistogramBins& bins, float density)
{
    const hn::RebindToSigned<D> di;
    const auto count = static_cast<std::int32_t>(bins.bins);
    const V low = hn::Set(d, bins.low);
    const V high = hn::Set(d, bins.high);
    // Clamped first so that the conversion is defined; lanes outside are replaced below.
    const V inside = hn::Min(hn::Max(x, low), high);
    const V position =
        hn::Min(hn::Mul(hn::Sub(inside, low), hn::Set(d, density)), hn::Set(d, static_cast<float>(count)));
    auto slot = hn::Add(hn::Min(hn::ConvertTo(di, position), hn::Set(di, count - 1)), hn::Set(di, 1));
    slot = hn::IfThenElse(hn::RebindMask(di, hn::Lt(x, low)), hn::Zero(di), slot);
    slot = hn::IfThenElse(hn::RebindMask(di, hn::Gt(x, high)), hn::Set(di, count + 1), slot);
    const auto finite = hn::Le(hn::Abs(x), hn::Set(d, largestFloat));
    return hn::IfThenElse(hn::RebindMask(di, finite), slot, hn::Set(di, count + 2));
}

template<class D, class V = hn::Vec<D>>
auto distancesOf(D d, V x, float mean, float step, std::uint32_t distances)
{
    const hn::RebindToSigned<D> di;
    const auto last = static_cast<std::int32_t>(distances) - 1;
    const auto finite = hn::Le(hn::Abs(x), hn::Set(d, largestFloat));
    const V size = hn::Abs(hn::Sub(hn::IfThenElseZero(finite, x), hn::Set(d, mean)));
    const V steps = hn::Min(hn::Div(size, hn::Set(d, step)), hn::Set(d, static_cast<float>(last)));
    const auto whole = hn::ConvertTo(di, steps);
    // Rounded up: one more where anything was cut off.
    const auto more = hn::BitCast(di, hn::VecFromMask(d, hn::Gt(steps, hn::ConvertTo(d, whole))));
    const auto slot = hn::Min(hn::Sub(whole, more), hn::Set(di, last));
    return hn::IfThenElse(hn::RebindMask(di, finite), slot, hn::Set(di, last + 1));
}

// One more in the table of each lane. Slots leave the vector two at a time: extracting them singly costs more than
// counting does.
template<class D, class V>
void countSlots(D di, V slots, HistogramTables& counters)
{
    HWY_ALIGN std::int32_t stored[hn::MaxLanes(di)];
    hn::Store(slots, di, stored);
    if constexpr (hn::MaxLanes(di) == 1) {
        ++counters.tables[0][static_cast<std::size_t>(stored[0])];
    } else {
        for (std::size_t lane = 0; lane < hn::Lanes(di); lane += 2) {
            std::uint64_t pair = 0;
            std::memcpy(&pair, stored + lane, sizeof pair);
            ++counters.tables[lane % HistogramTables::count][pair & 0xFFFFFFFFU];
            ++counters.tables[(lane + 1) % HistogramTables::count][pair >> 32U];
        }
    }
}

void Fill(const float* values, std::size_t count, const HistogramBins& sharedBins, HistogramTables& counters)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    // A copy of our own: counters might alias the caller's, and everything would be loaded anew after each increment.
    const HistogramBins bins = sharedBins;
    const float density = bins.density();
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        countSlots(di, slotsOf(d, hn::LoadU(d, values + i), bins, density), counters);
    for (; i < count; ++i)
        countSlots(oneInt, slotsOf(one, hn::LoadU(one, values + i), bins, density), counters);
}

void FillDistances(
    const float* values, std::size_t count, float mean, float step, std::uint32_t distances, HistogramTables& counters)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        countSlots(di, distancesOf(d, hn::LoadU(d, values + i), mean, step, distances), counters);
    for (; i < count; ++i)
        countSlots(oneInt, distancesOf(one, hn::LoadU(one, values + i), mean, step, distances), counters);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Fill);
HWY_EXPORT(FillDistances);

float HistogramBins::density() const
{
    if (!(high > low))
        return 0.0F;
    // In double: high − low may overflow in float.
    const double density = static_cast<double>(bins) / (static_cast<double>(high) - static_cast<double>(low));
    return static_cast<float>(std::min(density, static_cast<double>(std::numeric_limits<float>::max())));
}

void histogramFill(std::span<const float> values, const HistogramBins& bins, HistogramTables& tables)
{
    HWY_DYNAMIC_DISPATCH(Fill)(values.data(), values.size(), bins, tables);
}

void distanceFill(
    std::span<const float> values, float mean, float step, std::uint32_t distances, HistogramTables& tables)
{
    HWY_DYNAMIC_DISPATCH(FillDistances)(values.data(), values.size(), mean, step, distances, tables);
}

void histogramFillReference(std::span<const float> values, const HistogramBins& bins, HistogramTables& tables)
{
    auto& counts = tables.tables[0];
    const float density = bins.density();
    for (const float x : values) {
        if (!std::isfinite(x))
            ++counts[bins.bins + 2];
        else if (x < bins.low)
            ++counts[0];
        else if (x > bins.high)
            ++counts[bins.bins + 1];
        else
            ++counts[1
                + static_cast<std::size_t>(std::min((x - bins.low) * density, static_cast<float>(bins.bins - 1)))];
    }
}

void distanceFillReference(
    std::span<const float> values, float mean, float step, std::uint32_t distances, HistogramTables& tables)
{
    auto& counts = tables.tables[0];
    for (const float x : values) {
        if (!std::isfinite(x))
            ++counts[distances];
        else
            ++counts[static_cast<std::size_t>(
                std::min(std::ceil(std::abs(x - mean) / step), static_cast<float>(distances - 1)))];
    }
}

void histogramFold(HistogramTables& tables, const HistogramBins& bins, HistogramTotals& totals)
{
    for (auto& table : tables.tables) {
        totals.below += table[0];
        for (std::uint32_t bin = 0; bin < bins.bins; ++bin)
            totals.counts[bin] += table[bin + 1];
        totals.above += table[bins.bins + 1];
        totals.nonFinite += table[bins.bins + 2];
        table.fill(0);
    }
}

void distanceFold(HistogramTables& tables, std::span<std::uint64_t> counts, std::uint64_t& nonFinite)
{
    for (auto& table : tables.tables) {
        for (std::size_t slot = 0; slot < counts.size(); ++slot)
            counts[slot] += table[slot];
        nonFinite += table[counts.size()];
        table.fill(0);
    }
}

}  // namespace quantloupe::kernels
#endif
