// SPDX-License-Identifier: GPL-3.0-or-later
// Ranges and grids of the units of a stretch of weights. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_UNITS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_UNITS_INL
#undef QUANTLOUPE_INTEGER_UNITS_INL
#else
#define QUANTLOUPE_INTEGER_UNITS_INL
#endif

#include "core/kernels/fused_integer.h"

#include <hwy/highway.h>

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights that are summed in float lanes, and about as many are looked at before they are quantized.
constexpr std::size_t blockLength = 1'024;
constexpr std::size_t maxUnits = 64;
constexpr std::size_t prefetchDistance = 1'024;  // floats: a page is fetched while the one before it is worked on

// Eight lanes where there are as many: a unit of a group is rarely much longer.
using Wide = hn::CappedTag<float, 8>;
using One = hn::CappedTag<float, 1>;
constexpr std::size_t wideLanes = hn::MaxLanes(Wide());

// The constants of one unit, each in a vector of its own, in memory: the sums need the registers. They lie where what
// is written might lie too, or the compiler would hold them in registers and the sums in memory.
struct UnitLanes {
    HWY_ALIGN float magic[8], limit[8], minimum[8], lowest[8], highest[8], margin[8];

    HWY_INLINE void fill(const IntegerCodes& codes, float unitZero, float unitLimit, bool floating, bool clips)
    {
        const Wide d;
        hn::Store(hn::Set(d, unitLimit), d, limit);
        if (floating)
            hn::Store(hn::Set(d, unitZero), d, minimum);
        if (!clips)
            return;
        const float zero = floating ? 0.0F : unitZero;
        const float low = codes.lowest - zero, high = codes.highest - zero;
        hn::Store(hn::Set(d, low), d, lowest);
        hn::Store(hn::Set(d, high), d, highest);
        hn::Store(hn::Set(d, 0.5F - (HWY_MAX(-low, high) + 2.0F) * 0x1p-21F), d, margin);
    }
};

// The units of one stretch, each figure in an array of its own. Padded: vectors of units may reach beyond the last.
struct Units {
    static constexpr std::size_t padded = maxUnits + 8;
    HWY_ALIGN float low[padded], high[padded];  // smallest and largest weight
    HWY_ALIGN float scale[padded], zero[padded], inverse[padded];
    HWY_ALIGN float limit[padded];  // largest e² that proves a rounding right
    HWY_ALIGN float clips[padded];  // 0: no weight can leave the range
    std::size_t count, length;
    UnitLanes lanes;  // of the one at work
};

// ---- Ranges

template<class V>
struct RangeLanes {
    V low, high;
};

// Squares in four sums, so that no addition waits for the one before it.
template<class D>
struct SignalLanes {
    hn::Vec<D> a, b, c, e;

    explicit SignalLanes(D d)
        : a(hn::Zero(d))
        , b(a)
        , c(a)
        , e(a)
    {
    }
    double take(D d)
    {
        const double sum = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e)))));
        *this = SignalLanes(d);
        return sum;
    }
};

// Range of `count` values that fill whole vectors; squares are added to `signal`.
template<class D, class V = hn::Vec<D>>
HWY_INLINE RangeLanes<V> rangeLanes(D d, const float* HWY_RESTRICT w, std::size_t count, SignalLanes<D>& signal)
{
    const std::size_t n = hn::Lanes(d);
    auto low0 = hn::Set(d, std::numeric_limits<float>::infinity());
    auto high0 = hn::Neg(low0);
    auto low1 = low0, high1 = high0;
    std::size_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        const V w0 = hn::LoadU(d, w + i), w1 = hn::LoadU(d, w + i + n);
        const V w2 = hn::LoadU(d, w + i + 2 * n), w3 = hn::LoadU(d, w + i + 3 * n);
        low0 = hn::Min(low0, hn::Min(w0, w1));
        high0 = hn::Max(high0, hn::Max(w0, w1));
        low1 = hn::Min(low1, hn::Min(w2, w3));
        high1 = hn::Max(high1, hn::Max(w2, w3));
        signal.a = hn::MulAdd(w0, w0, signal.a);
        signal.b = hn::MulAdd(w1, w1, signal.b);
        signal.c = hn::MulAdd(w2, w2, signal.c);
        signal.e = hn::MulAdd(w3, w3, signal.e);
    }
    for (; i + n <= count; i += n) {
        const V w0 = hn::LoadU(d, w + i);
        low0 = hn::Min(low0, w0);
        high0 = hn::Max(high0, w0);
        signal.a = hn::MulAdd(w0, w0, signal.a);
    }
    return {hn::Min(low0, low1), hn::Max(high0, high1)};
}

#if HWY_TARGET != HWY_SCALAR
// Lane u of the result: op over all lanes of v[u].
template<class D, class V, class Op>
HWY_INLINE V reduceEight(D d, const V* v, const Op& op)
{
    const hn::Repartition<double, D> pairs;
    const auto two = [&](const V& a, const V& b)
                         HWY_ATTR { return op(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)); };
    const auto four = [&](const V& ab, const V& cd) HWY_ATTR {
        const auto x = hn::BitCast(pairs, ab), y = hn::BitCast(pairs, cd);
        return op(hn::BitCast(d, hn::InterleaveLower(pairs, x, y)), hn::BitCast(d, hn::InterleaveUpper(pairs, x, y)));
    };
    const V lower = four(two(v[0], v[1]), two(v[2], v[3]));
    const V upper = four(two(v[4], v[5]), two(v[6], v[7]));
    return op(hn::ConcatLowerLower(d, upper, lower), hn::ConcatUpperUpper(d, upper, lower));
}
#endif

// Range of a long unit, taken while the one before it is measured: memory and arithmetic wait for each other no more.
// With short units it would cost more than it hides.
struct RangeAhead {
    HWY_ALIGN float low[8], high[8];  // smallest and largest of each lane
    const float* weights;             // null: there is nothing to look at
    double signal;                    // Σw² so far

    static bool canTake(const Units& units, std::size_t total)
    {
        return wideLanes == 8 && units.length >= blockLength && units.length % (4 * wideLanes) == 0
            && units.length == total;
    }
    void begin(const float* unit)
    {
        const Wide d;
        weights = unit;
        signal = 0.0;
        const auto none = hn::Set(d, std::numeric_limits<float>::infinity());
        hn::Store(none, d, low);
        hn::Store(hn::Neg(none), d, high);
    }
    double settle(Units& units) const
    {
        const Wide d;
        units.low[0] = hn::GetLane(hn::MinOfLanes(d, hn::Load(d, low))) + 0.0F;
        units.high[0] = hn::GetLane(hn::MaxOfLanes(d, hn::Load(d, high))) + 0.0F;
        return signal;
    }
};

// Ranges of all units of a stretch. Returns Σw², which is not finite where a weight is not.
inline double FindRanges(const float* HWY_RESTRICT weights, std::size_t total, Units& units)
{
    const Wide d;
    SignalLanes<Wide> lanes(d);
    double signal = 0.0;
    std::size_t u = 0;
#if HWY_TARGET != HWY_SCALAR
    if constexpr (wideLanes == 8)
        if (units.length % 8 == 0)
            for (; u + 8 <= units.count && (u + 8) * units.length <= total; u += 8) {
                hn::Vec<Wide> lows[8], highs[8];
                for (std::size_t k = 0; k < 8; ++k) {
                    const auto range = rangeLanes(d, weights + (u + k) * units.length, units.length, lanes);
                    lows[k] = range.low;
                    highs[k] = range.high;
                }
                const auto zero = hn::Zero(d);
                const auto min = [](auto a, auto b) HWY_ATTR { return hn::Min(a, b); };
                const auto max = [](auto a, auto b) HWY_ATTR { return hn::Max(a, b); };
                // Which of −0 and +0 a vector minimum returns differs between targets; adding +0 makes both +0.
                hn::StoreU(hn::Add(reduceEight(d, lows, min), zero), d, units.low + u);
                hn::StoreU(hn::Add(reduceEight(d, highs, max), zero), d, units.high + u);
            }
#endif
    for (; u < units.count; ++u) {
        const float* unit = weights + u * units.length;
        const std::size_t count = HWY_MIN(units.length, total - u * units.length);
        float low = std::numeric_limits<float>::infinity(), high = -low;
        for (std::size_t start = 0; start < count; start += blockLength) {
            const std::size_t length = HWY_MIN(blockLength, count - start);
            const std::size_t whole = length / hn::Lanes(d) * hn::Lanes(d);
            const auto range = rangeLanes(d, unit + start, whole, lanes);
            low = HWY_MIN(low, hn::GetLane(hn::MinOfLanes(d, range.low)));
            high = HWY_MAX(high, hn::GetLane(hn::MaxOfLanes(d, range.high)));
            for (std::size_t i = start + whole; i < start + length; ++i) {
                low = HWY_MIN(low, unit[i]);
                high = HWY_MAX(high, unit[i]);
                signal += static_cast<double>(unit[i]) * static_cast<double>(unit[i]);
            }
            if (count > blockLength)
                signal += lanes.take(d);
        }
        units.low[u] = low + 0.0F;
        units.high[u] = high + 0.0F;
    }
    return signal + lanes.take(d);
}

// ---- Grids

// As integerGrid(), for units whose weights are of a good size; false where one is not.
inline bool MakeGrids(const IntegerScheme& scheme, Units& units)
{
    const Wide d;
    const auto zero = hn::Zero(d), one = hn::Set(d, 1.0F);
    const auto largest = hn::Set(d, scheme.codes.highest);
    const auto middle = hn::Set(d, 0.5F * (scheme.codes.highest + 1.0F));
    const auto magic = hn::Set(d, 12582912.0F);
    auto good = hn::Eq(zero, zero);
    for (std::size_t u = 0; u < units.count; u += wideLanes) {
        auto low = hn::LoadU(d, units.low + u), high = hn::LoadU(d, units.high + u);
        auto scale = one, point = middle;
        const auto size = hn::Max(hn::Abs(low), hn::Abs(high));
        auto span = size;  // must not be tiny, or 0
        switch (scheme.rule) {
        case IntegerRule::Given: break;
        case IntegerRule::Symmetric: scale = hn::Div(size, hn::Sub(middle, one)); break;
        case IntegerRule::SymmetricFull: {
            const auto bottom = hn::IfThenElseZero(hn::Lt(low, zero), hn::Neg(size));
            scale = hn::Div(hn::Sub(size, bottom), largest);
            break;
        }
        case IntegerRule::Asymmetric: {
            low = hn::Min(low, zero);
            high = hn::Max(high, zero);
            scale = hn::Div(hn::Sub(high, low), largest);
            const auto ratio = hn::Min(hn::Div(hn::Neg(low), scale), largest);
            point = hn::Sub(hn::Add(ratio, magic), magic);
            break;
        }
        case IntegerRule::AsymmetricFloat:
            span = hn::Sub(high, low);
            scale = hn::Div(span, largest);
            point = low;
            break;
        }
        const auto safe = hn::And(hn::Ge(span, hn::Set(d, 0x1p-60F)), hn::Le(size, hn::Set(d, 0x1p60F)));
        // Lanes beyond the last unit hold anything.
        const auto beyond = hn::Ge(hn::Iota(d, static_cast<float>(u)), hn::Set(d, static_cast<float>(units.count)));
        good = hn::And(good, hn::Or(safe, beyond));
        hn::StoreU(scale, d, units.scale + u);
        hn::StoreU(point, d, units.zero + u);
    }
    return hn::AllTrue(d, good);
}

// What the quick rounding needs to know. False where the grid is so odd that only the definition itself will do.
inline bool PrepareGrids(const IntegerCodes& codes, Units& units)
{
    const Wide d;
    const auto magic = hn::Set(d, 12582912.0F);
    auto good = hn::Eq(magic, magic);
    for (std::size_t u = 0; u < units.count; u += wideLanes) {
        const auto low = hn::LoadU(d, units.low + u), high = hn::LoadU(d, units.high + u);
        const auto scale = hn::LoadU(d, units.scale + u), zero = hn::LoadU(d, units.zero + u);
        const auto base = codes.floatingMinimum ? zero : hn::Zero(d);
        const auto point = codes.floatingMinimum ? hn::Zero(d) : zero;
        const auto lowest = hn::Sub(hn::Set(d, codes.lowest), point),
                   highest = hn::Sub(hn::Set(d, codes.highest), point);
        const auto lowRatio = hn::Div(hn::Sub(low, base), scale), highRatio = hn::Div(hn::Sub(high, base), scale);
        const auto rounded = [&](hn::Vec<Wide> ratio) HWY_ATTR { return hn::Sub(hn::Add(ratio, magic), magic); };
        const auto clips = hn::Or(hn::Lt(rounded(lowRatio), lowest), hn::Gt(rounded(highRatio), highest));
        hn::StoreU(hn::IfThenElseZero(clips, hn::Set(d, 1.0F)), d, units.clips + u);
        hn::StoreU(hn::Div(hn::Set(d, 1.0F), scale), d, units.inverse + u);
        // A product with the reciprocal, a rounded ŵ and a rounded e are off by less than what is taken from ½ here.
        const auto steps = hn::Add(hn::Max(hn::Abs(lowest), hn::Abs(highest)), hn::Set(d, 2.0F));
        const auto margin = hn::Sub(hn::Set(d, 0.5F), hn::Mul(steps, hn::Set(d, 0x1p-21F)));
        const auto size = hn::Max(hn::Abs(low), hn::Abs(high));
        const auto rounding = codes.floatingMinimum ? hn::Mul(size, hn::Set(d, 0x1p-21F)) : hn::Zero(d);
        const auto largest = hn::Max(hn::Sub(hn::Mul(scale, margin), rounding), hn::Zero(d));
        hn::StoreU(hn::Mul(largest, largest), d, units.limit + u);
        // Rounding by addition needs quotients of at most 2²².
        const auto widest = hn::Max(hn::Abs(lowRatio), hn::Abs(highRatio));
        const auto sized = hn::And(hn::Ge(scale, hn::Set(d, 0x1p-80F)), hn::Le(scale, hn::Set(d, 0x1p80F)));
        const auto fine = hn::And(sized, hn::Le(widest, hn::Set(d, 0x1p20F)));
        const auto beyond = hn::Ge(hn::Iota(d, static_cast<float>(u)), hn::Set(d, static_cast<float>(units.count)));
        good = hn::And(good, hn::Or(fine, beyond));
    }
    return hn::AllTrue(d, good);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
