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

using Full = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;

// The bins of values.
struct BinSlots {
    Edges<Full> edges;
    Edges<One> edgesOfOne;

    explicit BinSlots(const HistogramBins& bins)
        : edges(Full(), bins)
        , edgesOfOne(One(), bins)
    {
    }
    HWY_INLINE auto many(const float* values) const { return slotsOf(Full(), hn::LoadU(Full(), values), edges); }
    HWY_INLINE auto one(const float* value) const { return slotsOf(One(), hn::LoadU(One(), value), edgesOfOne); }
};

// How far values lie from a mean.
struct DistanceSlots {
    float mean, step;
    std::uint32_t count;

    HWY_INLINE auto many(const float* values) const
    {
        return distancesOf(Full(), hn::LoadU(Full(), values), mean, step, count);
    }
    HWY_INLINE auto one(const float* value) const
    {
        return distancesOf(One(), hn::LoadU(One(), value), mean, step, count);
    }
};

// One more for each slot, in the tables in turn where there are four.
struct TableCounter {
    using Cell = std::uint16_t;
    HistogramTables& counters;

    // Four slots are loaded at a time: loading them singly costs as much as counting does.
    template<std::size_t slots>
    HWY_INLINE void add(const Cell* HWY_RESTRICT at) const
    {
        static_assert(HistogramTables::count == 4);
        auto& tables = counters.tables;
        std::size_t i = 0;
#pragma GCC unroll 16
        for (; i + 4 <= slots; i += 4) {
            std::uint64_t four = 0;
            std::memcpy(&four, at + i, sizeof four);
            ++tables[0][four & 0xFFFFU];
            ++tables[1][four >> 16U & 0xFFFFU];
            ++tables[2][four >> 32U & 0xFFFFU];
            ++tables[3][four >> 48U];
        }
        for (; i < slots; ++i)
            ++tables[0][at[i]];
    }
};

// Counts each value in what `of` finds for it. Slots are counted when others take their places: what was stored as a
// vector is not to be had one by one for a while. (SlotCounter does so for errors that it is given vector by vector.)
template<class Slots, class Counter>
HWY_INLINE void countAll(const float* HWY_RESTRICT values, std::size_t count, const Slots& of, const Counter& counter)
{
    using Cell = typename Counter::Cell;
    constexpr std::size_t waiting = 256, lanes = hn::MaxLanes(Full());
    static_assert(waiting % lanes == 0);
    HWY_ALIGN Cell cells[waiting];
    const auto store = [](auto d, auto slots, Cell* to) HWY_ATTR {
        if constexpr (sizeof(Cell) == sizeof(std::uint16_t)) {
            const hn::Rebind<Cell, decltype(d)> narrow;
            hn::StoreU(hn::DemoteTo(narrow, slots), narrow, to);
        } else {
            hn::StoreU(slots, hn::RebindToSigned<decltype(d)>(), to);
        }
    };
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto slots = of.many(values + i);
        Cell* place = cells + i % waiting;
        if (HWY_LIKELY(i >= waiting))
            counter.template add<lanes>(place);
        store(Full(), slots, place);
    }
    for (std::size_t k = 0; k < HWY_MIN(i, waiting); k += lanes)
        counter.template add<lanes>(cells + k);
    for (; i < count; ++i) {
        store(One(), of.one(values + i), cells);
        counter.template add<1>(cells);
    }
}

void Fill(const float* values, std::size_t count, const HistogramBins& bins, HistogramTables& counters)
{
    countAll(values, count, BinSlots(bins), TableCounter {counters});
}

void FillDistances(
    const float* values, std::size_t count, float mean, float step, std::uint32_t distances, HistogramTables& counters)
{
    countAll(values, count, DistanceSlots {mean, step, distances}, TableCounter {counters});
}

// Both, as cells of a JointTable.
struct JointSlots {
    BinSlots bins;
    DistanceSlots distances;

    HWY_INLINE auto many(const float* values) const
    {
        const Full d;
        const hn::RebindToSigned<Full> di;
        const auto& edges = bins.edges;
        hwy::Prefetch(values + prefetchDistance);
        const auto x = hn::LoadU(d, values);
        if (HWY_LIKELY(hn::AllTrue(d, hn::And(hn::Ge(x, edges.low), hn::Le(x, edges.high))))) {
            const auto far = hn::Abs(hn::Sub(x, hn::Set(d, distances.mean)));
            const auto steps = hn::Ceil(hn::Div(far, hn::Set(d, distances.step)));
            const auto last = hn::Set(d, static_cast<float>(distances.count - 1));
            return cellsOf(insideSlots(d, x, edges), hn::ConvertTo(di, hn::Min(steps, last)));
        }
        return cellsOf(bins.many(values), distances.many(values));
    }
    HWY_INLINE auto one(const float* value) const { return cellsOf(bins.one(value), distances.one(value)); }

private:
    template<class V>
    static HWY_INLINE V cellsOf(V slots, V steps)
    {
        static_assert(JointTable::stride == 128 + 4);
        return hn::Add(hn::Add(hn::ShiftLeft<7>(slots), hn::ShiftLeft<2>(slots)), steps);
    }
};

// One more for each cell of a JointTable.
struct CellCounter {
    using Cell = std::int32_t;
    std::uint32_t* HWY_RESTRICT counters;

    template<std::size_t count>
    HWY_INLINE void add(const Cell* HWY_RESTRICT at) const
    {
#pragma GCC unroll 16
        for (std::size_t i = 0; i < count; ++i)
            ++counters[at[i]];
    }
};

void FillJoint(const float* values, std::size_t count, const HistogramBins& bins, float mean, float step,
    std::uint32_t distances, std::uint32_t* counters)
{
    countAll(values, count, JointSlots {BinSlots(bins), {mean, step, distances}}, CellCounter {counters});
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
        const auto* cells = table.cells.data() + slot * JointTable::stride;
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
