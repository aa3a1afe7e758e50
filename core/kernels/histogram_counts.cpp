// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/histogram_counts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/histogram_counts.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t prefetchDistance = 1'024;  // floats
constexpr float largestFloat = std::numeric_limits<float>::max();

// What the slots are made from, spread over the lanes.
template<class D>
struct Edges {
    using V = hn::Vec<D>;
    V low, high, density, last;
    std::int32_t bins;

    Edges(D d, const HistogramBins& of)
        : low(hn::Set(d, of.low))
        , high(hn::Set(d, of.high))
        , density(hn::Set(d, of.density()))
        , last(hn::Set(d, static_cast<float>(of.bins - 1)))
        , bins(static_cast<std::int32_t>(of.bins))
    {
    }
};

// Slots of values that all lie inside the range.
template<class D, class V = hn::Vec<D>>
auto insideSlots(D /*d*/, V x, const Edges<D>& edges)
{
    const hn::RebindToSigned<D> di;
    const V position = hn::Min(hn::Mul(hn::Sub(x, edges.low), edges.density), edges.last);
    return hn::Add(hn::ConvertTo(di, position), hn::Set(di, 1));
}

template<class D, class V = hn::Vec<D>>
auto slotsOf(D d, V x, const Edges<D>& edges)
{
    const hn::RebindToSigned<D> di;
    const auto inside = hn::And(hn::Ge(x, edges.low), hn::Le(x, edges.high));
    if (HWY_LIKELY(hn::AllTrue(d, inside)))
        return insideSlots(d, x, edges);
    // Clamped first so that the conversion is defined; lanes outside are replaced below.
    auto slot = insideSlots(d, hn::Min(hn::Max(x, edges.low), edges.high), edges);
    slot = hn::IfThenElse(hn::RebindMask(di, hn::Lt(x, edges.low)), hn::Zero(di), slot);
    slot = hn::IfThenElse(hn::RebindMask(di, hn::Gt(x, edges.high)), hn::Set(di, edges.bins + 1), slot);
    const auto finite = hn::Le(hn::Abs(x), hn::Set(d, largestFloat));
    return hn::IfThenElse(hn::RebindMask(di, finite), slot, hn::Set(di, edges.bins + 2));
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

// One more in the table of each lane, from `lane` on. Slots leave the vector two at a time: extracting them singly
// costs more than counting does. Unrolled, so that tables and lanes are constants of the instructions.
template<std::size_t lane, std::size_t lanes>
HWY_INLINE void countPairs(const std::int32_t* HWY_RESTRICT slots, HistogramTables& counters)
{
    std::uint64_t pair = 0;
    std::memcpy(&pair, slots + lane, sizeof pair);
    ++counters.tables[lane % HistogramTables::count][pair & 0xFFFFFFFFU];
    ++counters.tables[(lane + 1) % HistogramTables::count][pair >> 32U];
    if constexpr (lane + 2 < lanes)
        countPairs<lane + 2, lanes>(slots, counters);
}

template<class D, class V>
HWY_INLINE void countSlots(D di, V slots, HistogramTables& counters)
{
    constexpr std::size_t lanes = hn::MaxLanes(di);
    HWY_ALIGN std::int32_t stored[lanes];
    hn::Store(slots, di, stored);
    if constexpr (lanes == 1)
        ++counters.tables[0][static_cast<std::size_t>(stored[0])];
    else
        countPairs<0, lanes>(stored, counters);
}

void Fill(const float* values, std::size_t count, const HistogramBins& bins, HistogramTables& counters)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    // Copies of our own: counters might alias the caller's, and everything would be loaded anew after each increment.
    const Edges edges(d, bins);
    const Edges edgesOfOne(one, bins);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        countSlots(di, slotsOf(d, hn::LoadU(d, values + i), edges), counters);
    for (; i < count; ++i)
        countSlots(oneInt, slotsOf(one, hn::LoadU(one, values + i), edgesOfOne), counters);
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

template<std::size_t lane, std::size_t lanes>
HWY_INLINE void countCells(const std::int32_t* HWY_RESTRICT cells, std::uint32_t* HWY_RESTRICT counters)
{
    ++counters[cells[lane]];
    if constexpr (lane + 1 < lanes)
        countCells<lane + 1, lanes>(cells, counters);
}

void FillJoint(const float* HWY_RESTRICT values, std::size_t count, const HistogramBins& bins, float mean, float step,
    std::uint32_t distances, std::uint32_t* HWY_RESTRICT counters)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    const Edges edges(d, bins);
    const Edges edgesOfOne(one, bins);
    const auto centre = hn::Set(d, mean), width = hn::Set(d, step);
    const auto last = hn::Set(d, static_cast<float>(distances - 1));
    constexpr std::size_t lanes = hn::MaxLanes(d);
    HWY_ALIGN std::int32_t cells[lanes];
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        hwy::Prefetch(values + i + prefetchDistance);
        const auto x = hn::LoadU(d, values + i);
        auto slot = hn::Zero(di), distance = slot;
        if (HWY_LIKELY(hn::AllTrue(d, hn::And(hn::Ge(x, edges.low), hn::Le(x, edges.high))))) {
            slot = insideSlots(d, x, edges);
            const auto steps = hn::Ceil(hn::Div(hn::Abs(hn::Sub(x, centre)), width));
            distance = hn::ConvertTo(di, hn::Min(steps, last));
        } else {
            slot = slotsOf(d, x, edges);
            distance = distancesOf(d, x, mean, step, distances);
        }
        hn::Store(hn::Add(hn::ShiftLeft<7>(slot), distance), di, cells);
        countCells<0, lanes>(cells, counters);
    }
    for (; i < count; ++i) {
        const auto x = hn::LoadU(one, values + i);
        const auto slot = slotsOf(one, x, edgesOfOne);
        hn::Store(hn::Add(hn::ShiftLeft<7>(slot), distancesOf(one, x, mean, step, distances)), oneInt, cells);
        ++counters[cells[0]];
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Fill);
HWY_EXPORT(FillDistances);
HWY_EXPORT(FillJoint);

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

void jointFill(std::span<const float> values, const HistogramBins& bins, float mean, float step,
    std::uint32_t distances, JointTable& table)
{
    HWY_DYNAMIC_DISPATCH(FillJoint)
    (values.data(), values.size(), bins, mean, step, distances, table.cells.data());
}

void jointFold(
    const JointTable& table, const HistogramBins& bins, HistogramTotals& totals, std::span<std::uint64_t> counts)
{
    for (std::size_t slot = 0; slot < bins.bins + 3; ++slot) {
        const auto* cells = table.cells.data() + slot * JointTable::mostDistances;
        std::uint64_t inSlot = 0;
        for (std::size_t distance = 0; distance <= counts.size(); ++distance) {
            inSlot += cells[distance];
            if (distance < counts.size())
                counts[distance] += cells[distance];
        }
        if (slot == 0)
            totals.below += inSlot;
        else if (slot <= bins.bins)
            totals.counts[slot - 1] += inSlot;
        else if (slot == bins.bins + 1)
            totals.above += inSlot;
        else
            totals.nonFinite += inSlot;
    }
}

std::uint32_t histogramSlot(float x, const HistogramBins& bins, float density)
{
    if (x < bins.low)
        return 0;
    if (x > bins.high)
        return bins.bins + 1;
    return 1 + static_cast<std::uint32_t>(std::min((x - bins.low) * density, static_cast<float>(bins.bins - 1)));
}

std::uint32_t distanceSlot(float x, float mean, float step, std::uint32_t distances)
{
    return static_cast<std::uint32_t>(
        std::min(std::ceil(std::abs(x - mean) / step), static_cast<float>(distances - 1)));
}

void histogramFillReference(std::span<const float> values, const HistogramBins& bins, HistogramTables& tables)
{
    auto& counts = tables.tables[0];
    const float density = bins.density();
    for (const float x : values)
        ++counts[std::isfinite(x) ? histogramSlot(x, bins, density) : bins.bins + 2];
}

void distanceFillReference(
    std::span<const float> values, float mean, float step, std::uint32_t distances, HistogramTables& tables)
{
    auto& counts = tables.tables[0];
    for (const float x : values)
        ++counts[std::isfinite(x) ? distanceSlot(x, mean, step, distances) : distances];
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
