// SPDX-License-Identifier: GPL-3.0-or-later
// Weights of one unit quantized and measured in vectors. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_LANES_INL
#undef QUANTLOUPE_INTEGER_LANES_INL
#else
#define QUANTLOUPE_INTEGER_LANES_INL
#endif

#include "core/kernels/error_slots_inl.h"
#include "core/kernels/integer_units_inl.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What to do where a unit has weights beyond its range.
enum class Clipping {
    None,     // there are none
    Extreme,  // the largest weight alone may be; its step is known
    Common,   // be ready for one in every vector
};

// Sums over the lanes of a block. ŵ is in none of them: its sums follow from these.
template<class D>
struct BlockLanes {
    hn::Vec<D> product, odd;                   // Σw·e in two sums, so that no addition waits for the one before it
    hn::Vec<D> energy, sum, largest, clipped;  // Σe², Σe, largest e²

    explicit BlockLanes(D d)
        : product(hn::Zero(d))
        , odd(hn::Zero(d))
        , energy(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
        , clipped(hn::Zero(d))
    {
    }

    HWY_INLINE void add(const BlockLanes& other)
    {
        product = hn::Add(product, other.product);
        odd = hn::Add(odd, other.odd);
        energy = hn::Add(energy, other.energy);
        sum = hn::Add(sum, other.sum);
        largest = hn::Max(largest, other.largest);
        clipped = hn::Add(clipped, other.clipped);
    }
};

// What every vector of a unit needs; lowest and highest only where something is clamped.
template<class D>
struct UnitSteps {
    hn::Vec<D> scale, inverse, minimum, lowest, highest, extreme;

    template<bool floating, Clipping clipping>
    static HWY_INLINE UnitSteps of(D d, const IntegerCodes& codes, const Units& units, std::size_t u)
    {
        UnitSteps steps;
        steps.scale = hn::Set(d, units.scale[u]);
        steps.inverse = hn::Set(d, units.inverse[u]);
        if constexpr (floating)
            steps.minimum = hn::Set(d, units.zero[u]);
        if constexpr (clipping == Clipping::Common) {
            steps.lowest = hn::Set(d, floating ? codes.lowest : codes.lowest - units.zero[u]);
            steps.highest = hn::Set(d, floating ? codes.highest : codes.highest - units.zero[u]);
        }
        if constexpr (clipping == Clipping::Extreme)
            steps.extreme = hn::Set(d, units.extreme[u]);
        return steps;
    }
};

// One vector on its way: e, how far the quotient is from its step, and 1 where the weight was clipped.
template<class D>
struct Rounded {
    hn::Vec<D> error, distance, moved;
};

// exact: by the definition's division.
template<bool floating, bool clamped, bool exact, class D, class V = hn::Vec<D>>
HWY_INLINE Rounded<D> roundVector(D d, V w, const UnitSteps<D>& steps)
{
    Rounded<D> result;
    const V x = floating ? hn::Sub(w, steps.minimum) : w;
    const V ratio = exact ? hn::Div(x, steps.scale) : hn::Mul(x, steps.inverse);
    V step = hn::Round(ratio);
    if constexpr (clamped) {
        const V inside = hn::Min(hn::Max(step, steps.lowest), steps.highest);
        result.distance = hn::Abs(hn::Sub(ratio, step));
        result.moved = hn::IfThenElseZero(hn::Ne(step, inside), hn::Set(d, 1.0F));
        step = inside;
    }
    const V value = hn::Mul(step, steps.scale);
    result.error = hn::Sub(w, floating ? hn::Add(value, steps.minimum) : value);
    return result;
}

// Of numbers ≥ 0, whose bits are in the same order: multiplication has the units for maxima of floats to itself.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V maxOfPositive(D d, V a, V b)
{
    const hn::RebindToSigned<D> bits;
    return hn::BitCast(d, hn::Max(hn::BitCast(bits, a), hn::BitCast(bits, b)));
}

// What a segment needs to know to be sure of its codes: the largest e² (or distance) of those that may be in doubt.
template<bool floating, Clipping clipping, class D, class V = hn::Vec<D>>
HWY_INLINE void addPair(D d, const float* w, const UnitSteps<D>& steps, BlockLanes<D>& lanes, V& farthest,
    float* columns, V& first, V& second)
{
    const std::size_t n = hn::Lanes(d);
    const V v = hn::LoadU(d, w), x = hn::LoadU(d, w + n);
    const auto a = roundVector<floating, clipping == Clipping::Common, false>(d, v, steps);
    const auto b = roundVector<floating, clipping == Clipping::Common, false>(d, x, steps);
    first = a.error;
    second = b.error;
    const V squareA = hn::Mul(a.error, a.error), squareB = hn::Mul(b.error, b.error);
    lanes.product = hn::MulAdd(v, a.error, lanes.product);
    lanes.odd = hn::MulAdd(x, b.error, lanes.odd);
    hn::StoreU(hn::Add(squareA, hn::LoadU(d, columns)), d, columns);
    hn::StoreU(hn::Add(squareB, hn::LoadU(d, columns + n)), d, columns + n);
    lanes.energy = hn::Add(lanes.energy, hn::Add(squareA, squareB));
    lanes.sum = hn::Add(lanes.sum, hn::Add(a.error, b.error));
    V doubtfulA = squareA, doubtfulB = squareB;
    if constexpr (clipping == Clipping::Extreme) {
        doubtfulA = hn::IfThenZeroElse(hn::Eq(v, steps.extreme), squareA);
        doubtfulB = hn::IfThenZeroElse(hn::Eq(x, steps.extreme), squareB);
    }
    lanes.largest = maxOfPositive(d, lanes.largest, maxOfPositive(d, doubtfulA, doubtfulB));
    if constexpr (clipping == Clipping::Common) {
        farthest = hn::Max(farthest, hn::Max(a.distance, b.distance));
        lanes.clipped = hn::Add(lanes.clipped, hn::Add(a.moved, b.moved));
    }
}

// A vector by division at once.
template<bool floating, class D>
HWY_INLINE void addExactly(
    D d, const float* w, const UnitSteps<D>& steps, BlockLanes<D>& lanes, float* columns, float* error)
{
    const auto v = hn::LoadU(d, w);
    const auto a = roundVector<floating, true, true>(d, v, steps);
    const auto square = hn::Mul(a.error, a.error);
    lanes.clipped = hn::Add(lanes.clipped, a.moved);
    lanes.product = hn::MulAdd(v, a.error, lanes.product);
    lanes.energy = hn::Add(lanes.energy, square);
    lanes.sum = hn::Add(lanes.sum, a.error);
    lanes.largest = hn::Max(lanes.largest, square);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), square), d, columns);
    hn::StoreU(a.error, d, error);
}

// The difference that division makes to `count` weights in whole groups of four vectors, which were rounded quickly and
// are in the columns and slots already; `largest` and `clipped` are anew, of all of them.
template<bool floating, Clipping clipping, bool counting>
HWY_NOINLINE BlockLanes<Wide> correction(const float* w, std::size_t count, const IntegerCodes& codes,
    const Units& units, std::size_t u, float* columns, ErrorSlots* slots)
{
    const Wide d;
    constexpr std::size_t n = wideLanes;
    constexpr bool clamped = clipping == Clipping::Common;
    const auto steps = UnitSteps<Wide>::template of<floating, Clipping::Common>(d, codes, units, u);
    BlockLanes<Wide> lanes(d);
    for (std::size_t i = 0; i < count; i += 4 * n) {
        hn::Vec<Wide> quick[4], exact[4];
        auto same = hn::Eq(lanes.sum, lanes.sum);
        auto largest = hn::Zero(d);
        for (std::size_t k = 0; k < 4; ++k) {
            const auto v = hn::LoadU(d, w + i + k * n);
            const auto rounded = roundVector<floating, true, true>(d, v, steps);
            quick[k] = roundVector<floating, clamped, false>(d, v, steps).error;
            exact[k] = rounded.error;
            same = hn::And(same, hn::Eq(quick[k], exact[k]));
            largest = hn::Max(largest, hn::Mul(exact[k], exact[k]));
            lanes.clipped = hn::Add(lanes.clipped, rounded.moved);
        }
        lanes.largest = hn::Max(lanes.largest, largest);
        const bool right = hn::AllTrue(d, same);
        if (!right)
            for (std::size_t k = 0; k < 4; ++k) {
                const auto v = hn::LoadU(d, w + i + k * n);
                const auto more = hn::Sub(hn::Mul(exact[k], exact[k]), hn::Mul(quick[k], quick[k]));
                const auto apart = hn::Sub(exact[k], quick[k]);
                lanes.product = hn::MulAdd(v, apart, lanes.product);
                lanes.energy = hn::Add(lanes.energy, more);
                lanes.sum = hn::Add(lanes.sum, apart);
                float* at = columns + i + k * n;
                hn::StoreU(hn::Add(hn::LoadU(d, at), more), d, at);
            }
        if constexpr (counting)
            if (!right || !hn::AllTrue(d, hn::Le(largest, hn::Set(d, slots->largestSquare()))))
                slots->replace(quick, exact);
    }
    return lanes;
}

// How many weights in whole vectors are this one.
inline float countOf(float weight, const float* w, std::size_t count)
{
    const Wide d;
    auto found = hn::Zero(d);
    for (std::size_t i = 0; i < count; i += wideLanes)
        found = hn::Add(found, hn::IfThenElseZero(hn::Eq(hn::LoadU(d, w + i), hn::Set(d, weight)), hn::Set(d, 1.0F)));
    return hn::GetLane(hn::SumOfLanes(d, found));
}

// Sums over a block: of whole vectors, and of single weights.
struct BlockSums {
    BlockLanes<Wide> lanes = BlockLanes<Wide>(Wide());
    BlockLanes<One> tail = BlockLanes<One>(One());
};

// Fewer weights than four vectors hold.
template<bool floating, bool counting>
HWY_NOINLINE BlockSums restOf(const float* w, std::size_t count, const IntegerCodes& codes, const Units& units,
    std::size_t u, float* columns, ErrorSlots* slots)
{
    const Wide d;
    const One one;
    constexpr std::size_t n = wideLanes;
    BlockSums rest;
    HWY_ALIGN float errors[4 * n];
    const auto steps = UnitSteps<Wide>::template of<floating, Clipping::Common>(d, codes, units, u);
    const auto single = UnitSteps<One>::template of<floating, Clipping::Common>(one, codes, units, u);
    std::size_t i = 0;
    for (; i + n <= count; i += n)
        addExactly<floating>(d, w + i, steps, rest.lanes, columns + i, errors + i);
    for (; i < count; ++i)
        addExactly<floating>(one, w + i, single, rest.tail, columns + i, errors + i);
    if constexpr (counting)
        slots->add({errors, count});
    return rest;
}

// Weights that share a unit, not more than a block. `ahead`: what is fetched meanwhile, floats from here.
template<bool floating, Clipping clipping, bool counting>
HWY_INLINE void addSegment(const float* w, std::size_t count, std::size_t ahead, const IntegerCodes& codes,
    const Units& units, std::size_t u, BlockSums& block, float* columns, ErrorSlots* slots)
{
    const Wide d;
    constexpr std::size_t n = wideLanes;
    const auto steps = UnitSteps<Wide>::template of<floating, clipping>(d, codes, units, u);
    const std::size_t whole = count / (4 * n) * (4 * n);
    BlockLanes<Wide> lanes = block.lanes;
    lanes.largest = hn::Zero(d);
    auto farthest = hn::Zero(d);
    const auto clippedBefore = lanes.clipped;
    for (std::size_t i = 0; i < whole; i += 4 * n) {
        hwy::Prefetch(w + i + ahead);
        hwy::Prefetch(w + i + ahead + 2 * n);
        hn::Vec<Wide> a, b, c, e;
        addPair<floating, clipping>(d, w + i, steps, lanes, farthest, columns + i, a, b);
        if constexpr (counting)
            slots->countFirstHalf();
        addPair<floating, clipping>(d, w + i + 2 * n, steps, lanes, farthest, columns + i + 2 * n, c, e);
        if constexpr (counting)
            slots->countSecondHalf(a, b, c, e);
    }
    auto sure = hn::Le(lanes.largest, hn::Set(d, units.limit[u]));
    if constexpr (clipping == Clipping::Common)
        sure = hn::Le(farthest, hn::Set(d, units.margin[u]));
    if constexpr (clipping == Clipping::Extreme) {
        const auto error = roundVector<floating, false, false>(d, steps.extreme, steps).error;
        lanes.largest = hn::Max(lanes.largest, hn::Mul(error, error));
    }
    if constexpr (counting)
        sure = hn::And(sure, hn::Le(lanes.largest, hn::Set(d, slots->largestSquare())));
    if (HWY_UNLIKELY(!hn::AllTrue(d, sure))) {
        const auto difference = correction<floating, clipping, counting>(w, whole, codes, units, u, columns, slots);
        lanes.largest = hn::Zero(d);
        lanes.clipped = clippedBefore;
        lanes.add(difference);
    } else if (clipping == Clipping::Extreme && units.clipped[u] != 0.0F) {
        const One one;
        block.tail.clipped = hn::Add(block.tail.clipped, hn::Set(one, countOf(units.extreme[u], w, whole)));
    }
    lanes.largest = hn::Max(lanes.largest, block.lanes.largest);
    block.lanes = lanes;
    if (HWY_UNLIKELY(whole < count)) {
        const auto rest = restOf<floating, counting>(w + whole, count - whole, codes, units, u, columns + whole, slots);
        block.lanes.add(rest.lanes);
        block.tail.add(rest.tail);
    }
}

// Sums over blocks.
struct StretchSums {
    double product = 0.0, energy = 0.0, sum = 0.0;
    float largest = 0.0F, clipped = 0.0F;

    template<class D>
    HWY_INLINE void add(D d, const BlockLanes<D>& lanes)
    {
        const auto total = [d](hn::Vec<D> v) HWY_ATTR { return hn::GetLane(hn::SumOfLanes(d, v)); };
        product += static_cast<double>(total(hn::Add(lanes.product, lanes.odd)));
        energy += static_cast<double>(total(lanes.energy));
        sum += static_cast<double>(total(lanes.sum));
        largest = HWY_MAX(largest, hn::GetLane(hn::MaxOfLanes(d, lanes.largest)));
        clipped += total(lanes.clipped);
    }
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
