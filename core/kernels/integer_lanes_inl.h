// SPDX-License-Identifier: GPL-3.0-or-later
// Weights of one unit quantized and measured in vectors, while those of the next stretch are looked at. Included once
// per instruction set.
#if defined(QUANTLOUPE_INTEGER_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_LANES_INL
#undef QUANTLOUPE_INTEGER_LANES_INL
#else
#define QUANTLOUPE_INTEGER_LANES_INL
#endif

#include "core/kernels/integer_units_inl.h"

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What to do where a unit has weights beyond its range.
enum class Clipping {
    None,    // there are none
    Rare,    // hurry, and look again where one shows: its error is large
    Common,  // be ready for one in every vector
};

// Sums over the lanes of a block. ŵ is in none of them: its sums follow from these.
template<class D>
struct BlockLanes {
    hn::Vec<D> product, energy, sum, largest, clipped;  // Σw·e, Σe², Σe, largest e²

    explicit BlockLanes(D d)
        : product(hn::Zero(d))
        , energy(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
        , clipped(hn::Zero(d))
    {
    }
};

// What every vector needs; the rest of a unit is read from memory where it is wanted.
template<class D>
struct UnitSteps {
    hn::Vec<D> scale, inverse, magic;

    UnitSteps(D d, const Units& units, std::size_t u)
        : scale(hn::Set(d, units.scale[u]))
        , inverse(hn::Set(d, units.inverse[u]))
        , magic(hn::LoadU(d, units.lanes.magic))
    {
    }
};

// One vector on its way: w, e, how far the quotient is from a whole number, and 1 where the weight was clipped.
template<class D>
struct Rounded {
    hn::Vec<D> weight, error, distance, moved;
};

// exact: by the definition's division.
template<bool floating, Clipping clipping, bool exact, class D, class V = hn::Vec<D>>
HWY_INLINE Rounded<D> roundVector(D d, V w, const UnitSteps<D>& steps, const UnitLanes& unit)
{
    constexpr bool counting = clipping == Clipping::Common || (clipping == Clipping::Rare && exact);
    const V x = floating ? hn::Sub(w, hn::LoadU(d, unit.minimum)) : w;
    Rounded<D> result;
    V step, ratio;
    if constexpr (counting || exact) {
        ratio = exact ? hn::Div(x, steps.scale) : hn::Mul(x, steps.inverse);
        step = hn::Sub(hn::Add(ratio, steps.magic), steps.magic);
    } else {
        step = hn::Sub(hn::MulAdd(x, steps.inverse, steps.magic), steps.magic);
    }
    if constexpr (clipping != Clipping::None) {
        const V inside = hn::Min(hn::Max(step, hn::LoadU(d, unit.lowest)), hn::LoadU(d, unit.highest));
        if constexpr (counting) {
            result.distance = hn::Abs(hn::Sub(ratio, step));
            result.moved = hn::IfThenElseZero(hn::Ne(step, inside), hn::Set(d, 1.0F));
        }
        step = inside;
    }
    const V value = hn::Mul(step, steps.scale);
    result.weight = w;
    result.error = hn::Sub(w, floating ? hn::Add(value, hn::LoadU(d, unit.minimum)) : value);
    return result;
}

// What four vectors add to the sums of a block, before it is known that their rounding is right.
template<class D>
struct FourLanes {
    hn::Vec<D> squares[4];
    hn::Vec<D> product, energy, sum, largest, distance, moved;
};

template<bool floating, Clipping clipping, bool keep, bool exact, class D>
HWY_INLINE FourLanes<D> roundFour(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, float* errors)
{
    const std::size_t n = hn::Lanes(d);
    const auto a = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w), steps, unit);
    const auto b = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + n), steps, unit);
    const auto c = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + 2 * n), steps, unit);
    const auto e = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + 3 * n), steps, unit);
    FourLanes<D> four;
    four.squares[0] = hn::Mul(a.error, a.error);
    four.squares[1] = hn::Mul(b.error, b.error);
    four.squares[2] = hn::Mul(c.error, c.error);
    four.squares[3] = hn::Mul(e.error, e.error);
    four.energy = hn::Add(hn::Add(four.squares[0], four.squares[1]), hn::Add(four.squares[2], four.squares[3]));
    four.largest = hn::Max(hn::Max(four.squares[0], four.squares[1]), hn::Max(four.squares[2], four.squares[3]));
    four.sum = hn::Add(hn::Add(a.error, b.error), hn::Add(c.error, e.error));
    four.product = hn::MulAdd(
        e.weight, e.error, hn::MulAdd(c.weight, c.error, hn::MulAdd(b.weight, b.error, hn::Mul(a.weight, a.error))));
    if constexpr (clipping == Clipping::Common)
        four.distance = hn::Max(hn::Max(a.distance, b.distance), hn::Max(c.distance, e.distance));
    if constexpr (clipping == Clipping::Common || (clipping == Clipping::Rare && exact))
        four.moved = hn::Add(hn::Add(a.moved, b.moved), hn::Add(c.moved, e.moved));
    if constexpr (keep) {
        hn::StoreU(a.error, d, errors);
        hn::StoreU(b.error, d, errors + n);
        hn::StoreU(c.error, d, errors + 2 * n);
        hn::StoreU(e.error, d, errors + 3 * n);
    }
    return four;
}

template<Clipping clipping, class D>
HWY_INLINE void addFour(D d, const FourLanes<D>& four, bool counted, BlockLanes<D>& lanes, float* columns)
{
    const std::size_t n = hn::Lanes(d);
    lanes.product = hn::Add(lanes.product, four.product);
    lanes.energy = hn::Add(lanes.energy, four.energy);
    lanes.sum = hn::Add(lanes.sum, four.sum);
    lanes.largest = hn::Max(lanes.largest, four.largest);
    if (counted)
        lanes.clipped = hn::Add(lanes.clipped, four.moved);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), four.squares[0]), d, columns);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + n), four.squares[1]), d, columns + n);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + 2 * n), four.squares[2]), d, columns + 2 * n);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + 3 * n), four.squares[3]), d, columns + 3 * n);
}

// Four vectors by division.
template<bool floating, Clipping clipping, bool keep, class D>
HWY_NOINLINE void addAgain(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, BlockLanes<D>& lanes,
    float* columns, float* errors)
{
    addFour<clipping>(d, roundFour<floating, clipping, keep, true>(d, w, steps, unit, errors),
        clipping != Clipping::None, lanes, columns);
}

// One vector, by division at once.
template<bool floating, Clipping clipping, bool keep, class D>
HWY_INLINE void addOne(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, BlockLanes<D>& lanes,
    float* columns, float* errors)
{
    const auto a = roundVector<floating, clipping, true>(d, hn::LoadU(d, w), steps, unit);
    if constexpr (clipping != Clipping::None)
        lanes.clipped = hn::Add(lanes.clipped, a.moved);
    const auto square = hn::Mul(a.error, a.error);
    lanes.product = hn::MulAdd(a.weight, a.error, lanes.product);
    lanes.energy = hn::Add(lanes.energy, square);
    lanes.sum = hn::Add(lanes.sum, a.error);
    lanes.largest = hn::Max(lanes.largest, square);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), square), d, columns);
    if constexpr (keep)
        hn::StoreU(a.error, d, errors);
}

HWY_INLINE void prefetchFour(const float* w)
{
    hwy::Prefetch(w + prefetchDistance);
    hwy::Prefetch(w + prefetchDistance + 2 * wideLanes);
}

// What a segment finds out about the weights of the next stretch.
template<class D>
struct LookedAt {
    hn::Vec<D> low, high, signal;

    HWY_INLINE void addFour(D d, const float* w)
    {
        const std::size_t n = hn::Lanes(d);
        const auto a = hn::LoadU(d, w), b = hn::LoadU(d, w + n), c = hn::LoadU(d, w + 2 * n);
        const auto e = hn::LoadU(d, w + 3 * n);
        prefetchFour(w);
        low = hn::Min(low, hn::Min(hn::Min(a, b), hn::Min(c, e)));
        high = hn::Max(high, hn::Max(hn::Max(a, b), hn::Max(c, e)));
        signal = hn::Add(signal, hn::MulAdd(e, e, hn::MulAdd(c, c, hn::MulAdd(b, b, hn::Mul(a, a)))));
    }
};

template<bool floating, Clipping clipping, bool keep, bool look>
HWY_INLINE void addSegment(const float* w, const float* next, LookedAt<Wide>& looked, std::size_t count,
    const IntegerCodes& codes, Units& units, std::size_t u, BlockLanes<Wide>& block, BlockLanes<One>& tail,
    float* columns, float* errors)
{
    const Wide d;
    const std::size_t n = hn::Lanes(d);
    units.lanes.fill(codes, units.zero[u], units.limit[u], floating, clipping != Clipping::None);
    const UnitLanes& unit = units.lanes;
    const UnitSteps<Wide> steps(d, units, u);
    BlockLanes<Wide> lanes = block;
    std::size_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        if constexpr (look)
            looked.addFour(d, next + i);
        else
            prefetchFour(w + i);
        const auto four = roundFour<floating, clipping, keep, false>(d, w + i, steps, unit, errors + i);
        bool sure;
        if constexpr (clipping == Clipping::Common)
            sure = hn::AllTrue(d, hn::Le(four.distance, hn::LoadU(d, unit.margin)));
        else
            sure = hn::AllTrue(d, hn::Le(four.largest, hn::LoadU(d, unit.limit)));
        if (HWY_LIKELY(sure)) {
            addFour<clipping>(d, four, clipping == Clipping::Common, lanes, columns + i);
        } else {
            BlockLanes<Wide> again = lanes;
            addAgain<floating, clipping, keep>(d, w + i, steps, unit, again, columns + i, errors + i);
            lanes = again;
        }
    }
    for (; i + n <= count; i += n)
        addOne<floating, clipping, keep>(d, w + i, steps, unit, lanes, columns + i, errors + i);
    block = lanes;
    if (i < count) {
        const One one;
        const UnitSteps<One> single(one, units, u);
        for (; i < count; ++i)
            addOne<floating, clipping, keep>(one, w + i, single, unit, tail, columns + i, errors + i);
    }
}

// Σw·e goes where Σw·ŵ is wanted.
template<class D>
HWY_INLINE void addTo(D d, const BlockLanes<D>& lanes, ErrorSums& sums, std::uint64_t& clipped)
{
    const auto total = [d](hn::Vec<D> v) HWY_ATTR { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
    sums.dotProduct += total(lanes.product);
    sums.errorEnergy += total(lanes.energy);
    sums.errorSum += total(lanes.sum);
    // The root of a rounded square is the number itself, exactly.
    const double largest = static_cast<double>(std::sqrt(hn::GetLane(hn::MaxOfLanes(d, lanes.largest))));
    sums.maxAbsError = HWY_MAX(sums.maxAbsError, largest);
    clipped += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, lanes.clipped)));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
