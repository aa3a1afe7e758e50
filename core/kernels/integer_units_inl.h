// SPDX-License-Identifier: GPL-3.0-or-later
// Ranges and grids of the units of a stretch of weights. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_UNITS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_UNITS_INL
#undef QUANTLOUPE_INTEGER_UNITS_INL
#else
#define QUANTLOUPE_INTEGER_UNITS_INL
#endif

#include "core/kernels/fused_integer.h"
#include "core/kernels/ranges.h"

#include <hwy/highway.h>

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights that are summed in float lanes, and about as many are looked at before they are quantized.
constexpr std::size_t blockLength = 1'024;
constexpr std::size_t stretchLength = 2 * blockLength;
constexpr std::size_t maxUnits = 64;

// Eight lanes where there are as many: a unit of a group is rarely much longer.
using Wide = hn::CappedTag<float, 8>;
using One = hn::CappedTag<float, 1>;
constexpr std::size_t wideLanes = hn::MaxLanes(Wide());

// The units of one stretch, each figure in an array of its own. Padded: vectors of units may reach beyond the last.
struct Units {
    static constexpr std::size_t padded = maxUnits + 8;
    HWY_ALIGN float low[padded], high[padded];  // smallest and largest weight
    HWY_ALIGN float scale[padded], zero[padded], inverse[padded];
    HWY_ALIGN float limit[padded];   // largest e² that proves a rounding right
    HWY_ALIGN float margin[padded];  // likewise, the largest distance of a quotient from its step
    HWY_ALIGN float clips[padded];   // 0: no weight can leave the range
    // IntegerRule::SymmetricFull, where clips is 0: the weight that lies on the middle between two steps, its e², and
    // all bits where the definition clips it. The inverse is such that its product rounds to the right step.
    HWY_ALIGN float extreme[padded], extremeSquare[padded], clipped[padded];
    std::size_t count, length;
    bool anyClips;
};

// ---- Ranges

// Smallest and largest weight of each lane.
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

// Range of `count` values that fill so many vectors, or a multiple of that; squares are added to `signal`. As whole
// numbers, the bits of a negative float are larger than those of any positive one, and the larger the farther below 0
// it is; with a sign, they are smaller than those. So the largest of both kinds tell smallest and largest float where
// there are weights of both signs; else the result has the wrong sign. Multiplication has the units for minima of
// floats to itself that way.
template<std::size_t vectors, class D, class V = hn::Vec<D>>
HWY_INLINE RangeLanes<V> rangeOfBits(D d, const float* HWY_RESTRICT w, std::size_t count, SignalLanes<D>& signal)
{
    const hn::RebindToSigned<D> di;
    const hn::RebindToUnsigned<D> du;
    const std::size_t n = hn::Lanes(d);
    auto low0 = hn::Zero(du), low1 = low0;
    auto high0 = hn::Set(di, std::numeric_limits<std::int32_t>::min()), high1 = high0;
    const auto widen = [&](V v, auto& low, auto& high, V& squares) HWY_ATTR {
        low = hn::Max(low, hn::BitCast(du, v));
        high = hn::Max(high, hn::BitCast(di, v));
        squares = hn::MulAdd(v, v, squares);
    };
    if constexpr (vectors % 4 == 0)
#pragma GCC unroll 8
        for (std::size_t i = 0; i < count; i += 4 * n) {
            widen(hn::LoadU(d, w + i), low0, high0, signal.a);
            widen(hn::LoadU(d, w + i + n), low1, high1, signal.b);
            widen(hn::LoadU(d, w + i + 2 * n), low0, high0, signal.c);
            widen(hn::LoadU(d, w + i + 3 * n), low1, high1, signal.e);
        }
    else
        for (std::size_t i = 0; i < count; i += n)
            widen(hn::LoadU(d, w + i), low0, high0, signal.a);
    return {hn::BitCast(d, hn::Max(low0, low1)), hn::BitCast(d, hn::Max(high0, high1))};
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

// Whether these are what rangeOfBits() promises.
template<class D, class V = hn::Vec<D>>
HWY_INLINE bool haveBothSigns(D /*d*/, V low, V high)
{
    const hn::RebindToSigned<D> di;
    return hn::AllTrue(di, hn::Lt(hn::AndNot(hn::BitCast(di, high), hn::BitCast(di, low)), hn::Zero(di)));
}

// Of a unit that need not fill whole vectors.
inline void FindRange(const float* HWY_RESTRICT unit, std::size_t count, Units& units, std::size_t u,
    SignalLanes<Wide>& lanes, double& signal)
{
    const Wide d;
    const One one;
    const hn::RebindToUnsigned<Wide> du;
    const hn::RebindToSigned<Wide> di;
    const std::size_t n = hn::Lanes(d);
    auto low = hn::Zero(du);
    auto high = hn::Set(di, std::numeric_limits<std::int32_t>::min());
    for (std::size_t start = 0; start < count; start += blockLength) {
        const std::size_t length = HWY_MIN(blockLength, count - start);
        const std::size_t quads = length / (4 * n) * (4 * n);
        for (const auto& range : {rangeOfBits<4>(d, unit + start, quads, lanes),
                 rangeOfBits<1>(d, unit + start + quads, (length - quads) / n * n, lanes)}) {
            low = hn::Max(low, hn::BitCast(du, range.low));
            high = hn::Max(high, hn::BitCast(di, range.high));
        }
        for (std::size_t i = start + length / n * n; i < start + length; ++i) {
            const auto v = hn::Set(d, unit[i]);
            low = hn::Max(low, hn::BitCast(du, v));
            high = hn::Max(high, hn::BitCast(di, v));
            signal += static_cast<double>(unit[i]) * static_cast<double>(unit[i]);
        }
        if (count > blockLength)
            signal += lanes.take(d);
    }
    const auto lowest = hn::Set(one, hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(du, low))));
    const auto highest = hn::Set(one, hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, high))));
    FiniteRange range {hn::GetLane(lowest) + 0.0F, hn::GetLane(highest) + 0.0F};
    if (HWY_UNLIKELY(!haveBothSigns(one, lowest, highest)))
        range = rangeOf({unit, count});
    units.low[u] = range.minimum;
    units.high[u] = range.maximum;
}

#if HWY_TARGET != HWY_SCALAR
// Of the first `count` of eight units side by side, from the lanes that rangeOfBits() gives for each.
HWY_INLINE void settleEightRanges(const hn::Vec<Wide>* lows, const hn::Vec<Wide>* highs,
    const float* HWY_RESTRICT weights, std::size_t count, Units& units, std::size_t u)
{
    const Wide d;
    const hn::RebindToUnsigned<Wide> du;
    const hn::RebindToSigned<Wide> di;
    const auto low = reduceEight(d, lows,
        [&](auto a, auto b) HWY_ATTR { return hn::BitCast(d, hn::Max(hn::BitCast(du, a), hn::BitCast(du, b))); });
    const auto high = reduceEight(d, highs,
        [&](auto a, auto b) HWY_ATTR { return hn::BitCast(d, hn::Max(hn::BitCast(di, a), hn::BitCast(di, b))); });
    // Adding +0 makes both zeros one.
    hn::StoreU(hn::Add(low, hn::Zero(d)), d, units.low + u);
    hn::StoreU(hn::Add(high, hn::Zero(d)), d, units.high + u);
    if (HWY_UNLIKELY(!haveBothSigns(d, low, high)))
        for (std::size_t k = 0; k < count; ++k) {
            const auto range = rangeOf({weights + k * units.length, units.length});
            units.low[u + k] = range.minimum;
            units.high[u + k] = range.maximum;
        }
}

template<std::size_t vectors>
HWY_INLINE void findEightRanges(
    const float* HWY_RESTRICT weights, Units& units, std::size_t u, SignalLanes<Wide>& lanes)
{
    hn::Vec<Wide> lows[8], highs[8];
    for (std::size_t k = 0; k < 8; ++k) {
        const auto range = rangeOfBits<vectors>(Wide(), weights + k * units.length, units.length, lanes);
        lows[k] = range.low;
        highs[k] = range.high;
    }
    settleEightRanges(lows, highs, weights, 8, units, u);
}
#endif

// Ranges of all units of a stretch. Returns Σw², which is not finite where a weight is not.
inline double FindRanges(const float* HWY_RESTRICT weights, std::size_t total, Units& units)
{
    const Wide d;
    SignalLanes<Wide> lanes(d);
    double signal = 0.0;
    std::size_t u = 0;
#if HWY_TARGET != HWY_SCALAR
    if constexpr (wideLanes == 8) {
        const std::size_t whole = total / units.length / 8 * 8;
        if (units.length % 32 == 0)
            for (; u < whole; u += 8)
                findEightRanges<4>(weights + u * units.length, units, u, lanes);
        else if (units.length % 8 == 0)
            for (; u < whole; u += 8)
                findEightRanges<1>(weights + u * units.length, units, u, lanes);
    }
#endif
    for (; u < units.count; ++u)
        FindRange(weights + u * units.length, HWY_MIN(units.length, total - u * units.length), units, u, lanes, signal);
    return signal + lanes.take(d);
}

// ---- Grids

// Highway's Iota() writes and reads memory each time.
HWY_ALIGN constexpr float laneNumbers[8] = {0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 7.0F};

// As integerGrid(), for units whose weights are of a good size; false where one is not.
inline bool MakeGrids(const IntegerScheme& scheme, Units& units)
{
    const Wide d;
    const auto count = hn::Set(d, static_cast<float>(units.count));
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
        const auto beyond = hn::Ge(hn::Add(hn::Load(d, laneNumbers), hn::Set(d, static_cast<float>(u))), count);
        good = hn::And(good, hn::Or(safe, beyond));
        hn::StoreU(scale, d, units.scale + u);
        hn::StoreU(point, d, units.zero + u);
    }
    return hn::AllTrue(d, good);
}

// Where the full symmetric range puts its largest weight: on the middle between the last step and the one beyond.
// Adapts the reciprocal so that its product rounds as the quotient does. Zero in the lanes of units it does so for.
template<class V>
HWY_INLINE V settleExtremes(Wide d, V low, V high, V scale, V lowest, V highest, V& inverse, V& extreme, V& clipped)
{
    const V one = hn::Set(d, 1.0F);
    const V size = hn::Max(hn::Neg(low), high);
    const auto above = hn::Gt(high, hn::Neg(low));
    extreme = hn::IfThenElse(above, size, hn::Neg(size));
    const V exact = hn::Round(hn::Div(extreme, scale));
    const V inside = hn::Min(hn::Max(exact, lowest), highest);
    clipped = hn::VecFromMask(d, hn::Ne(exact, inside));
    for (int attempt = 0; attempt < 2; ++attempt) {
        const V step = hn::Round(hn::Mul(extreme, inverse));
        const V closer = hn::Mul(inverse, hn::Set(d, 1.0F - 0x1p-24F)),
                farther = hn::Mul(inverse, hn::Set(d, 1.0F + 0x1p-23F));
        inverse = hn::IfThenElse(hn::Gt(hn::Abs(step), hn::Abs(inside)), closer, inverse);
        inverse = hn::IfThenElse(hn::Lt(hn::Abs(step), hn::Abs(inside)), farther, inverse);
    }
    const auto settled = hn::Eq(hn::Round(hn::Mul(extreme, inverse)), inside);
    // Not where weights of both signs are as large, or one reaches farther than that middle.
    const auto alone = hn::Lt(hn::Min(hn::Neg(low), high), size);
    const auto near = hn::Le(hn::Abs(hn::Sub(exact, inside)), one);
    return hn::IfThenZeroElse(hn::And(hn::And(settled, alone), near), one);
}

// What the quick rounding needs to know. False where the grid is so odd that only the definition itself will do.
inline bool PrepareGrids(const IntegerScheme& scheme, Units& units)
{
    const Wide d;
    const IntegerCodes codes = scheme.codes;
    const IntegerRule rule = scheme.rule;
    const auto one = hn::Set(d, 1.0F);
    auto good = hn::Eq(one, one);
    auto anyClips = hn::Zero(d);
    const auto count = hn::Set(d, static_cast<float>(units.count));
    for (std::size_t u = 0; u < units.count; u += wideLanes) {
        const auto low = hn::LoadU(d, units.low + u), high = hn::LoadU(d, units.high + u);
        const auto step = hn::LoadU(d, units.scale + u), zero = hn::LoadU(d, units.zero + u);
        const auto base = codes.floatingMinimum ? zero : hn::Zero(d);
        const auto point = codes.floatingMinimum ? hn::Zero(d) : zero;
        const auto lowest = hn::Sub(hn::Set(d, codes.lowest), point),
                   highest = hn::Sub(hn::Set(d, codes.highest), point);
        auto inverse = hn::Div(one, step);
        // The quotient of the definition is off by 2⁻²⁴ of itself, a product with the reciprocal by twice that, or six
        // times where the reciprocal was adapted, ŵ once more: together less than what is taken from ½ here.
        const auto steps = hn::Add(hn::Max(hn::Abs(lowest), hn::Abs(highest)), hn::Set(d, 2.0F));
        const auto margin = hn::Sub(hn::Set(d, 0.5F), hn::Mul(steps, hn::Set(d, 0x1p-21F)));
        // Clipped is what rounds beyond the ends; a unit where that is a close thing counts as one that clips. A
        // symmetric range ends on a step.
        const auto lowRatio = hn::Mul(hn::Sub(low, base), inverse), highRatio = hn::Mul(hn::Sub(high, base), inverse);
        auto clips = hn::Zero(d);
        if (rule != IntegerRule::Symmetric)
            clips = hn::IfThenElseZero(
                hn::Or(hn::Lt(lowRatio, hn::Sub(lowest, margin)), hn::Gt(highRatio, hn::Add(highest, margin))), one);
        if (rule == IntegerRule::SymmetricFull) {
            auto extreme = one, clipped = one;
            clips = settleExtremes(d, low, high, step, lowest, highest, inverse, extreme, clipped);
            const auto error = hn::Sub(extreme, hn::Mul(hn::Round(hn::Mul(extreme, inverse)), step));
            hn::StoreU(extreme, d, units.extreme + u);
            hn::StoreU(hn::Mul(error, error), d, units.extremeSquare + u);
            hn::StoreU(clipped, d, units.clipped + u);
        }
        const auto beyond = hn::Ge(hn::Add(hn::Load(d, laneNumbers), hn::Set(d, static_cast<float>(u))), count);
        anyClips = hn::Max(anyClips, hn::IfThenZeroElse(beyond, clips));
        hn::StoreU(clips, d, units.clips + u);
        hn::StoreU(inverse, d, units.inverse + u);
        const auto size = hn::Max(hn::Abs(low), hn::Abs(high));
        const auto rounding = codes.floatingMinimum ? hn::Mul(size, hn::Set(d, 0x1p-21F)) : hn::Zero(d);
        const auto largest = hn::Max(hn::Sub(hn::Mul(step, margin), rounding), hn::Zero(d));
        hn::StoreU(hn::Mul(largest, largest), d, units.limit + u);
        hn::StoreU(margin, d, units.margin + u);
        // Steps are whole in float, and the definition rounds quotients up to 2²² only.
        const auto widest = hn::Max(hn::Abs(lowRatio), hn::Abs(highRatio));
        const auto sized = hn::And(hn::Ge(step, hn::Set(d, 0x1p-80F)), hn::Le(step, hn::Set(d, 0x1p80F)));
        const auto fine = hn::And(sized, hn::Le(widest, hn::Set(d, 0x1p20F)));
        good = hn::And(good, hn::Or(fine, beyond));
    }
    units.anyClips = !hn::AllTrue(d, hn::Eq(anyClips, hn::Zero(d)));
    return hn::AllTrue(d, good);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
