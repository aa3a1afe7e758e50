// SPDX-License-Identifier: GPL-3.0-or-later
// Ranges and grids of the units of a stretch of weights. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_UNITS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_UNITS_INL
#undef QUANTLOUPE_INTEGER_UNITS_INL
#else
#define QUANTLOUPE_INTEGER_UNITS_INL
#endif

#include "core/kernels/fused_integer.h"
#include "core/kernels/piece_ranges_inl.h"

#include <hwy/highway.h>

#include <cassert>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// About as many weights are measured with one set of grids at hand.
constexpr std::size_t stretchLength = 2 * blockLength;
constexpr std::size_t maxUnits = 64;

// The units of one stretch, each figure in an array of its own. Padded: vectors of units may reach beyond the last.
struct Units {
    static constexpr std::size_t padded = maxUnits + wideLanes;
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

// to[i] = op(from[2i], from[2i + 1]): `count` of them, or up to a vector more. May be done in place.
template<class Op>
HWY_INLINE void joinPairs(const float* from, float* to, std::size_t count, const Op& op)
{
    const Wide d;
    constexpr std::size_t n = wideLanes;
    for (std::size_t i = 0; i < count; i += n) {
        const auto lower = hn::LoadU(d, from + 2 * i), upper = hn::LoadU(d, from + 2 * i + n);
#if HWY_TARGET == HWY_SCALAR
        hn::StoreU(op(lower, upper), d, to + i);
#else
        hn::StoreU(op(hn::ConcatEven(d, upper, lower), hn::ConcatOdd(d, upper, lower)), d, to + i);
#endif
    }
}

// to[u] = op over the pieces of unit u.
template<class Op>
HWY_INLINE void joinPieces(const float* from, std::size_t pieces, std::size_t count, float* to, const Op& op)
{
    const Wide d;
    constexpr std::size_t n = wideLanes;
    if (pieces == 1) {
        for (std::size_t u = 0; u < count; u += n)
            hn::StoreU(hn::LoadU(d, from + u), d, to + u);
    } else if (count == 1) {
        const One one;
        auto most = hn::Set(d, from[0]);
        std::size_t i = 0;
        for (; i + n <= pieces; i += n)
            most = op(most, hn::LoadU(d, from + i));
        auto single = hn::Set(one, from[0]);
        for (; i < pieces; ++i)
            single = op(single, hn::LoadU(one, from + i));
        HWY_ALIGN float lanes[n];
        hn::Store(most, d, lanes);
        for (std::size_t k = 0; k < n; ++k)
            single = op(single, hn::Load(one, lanes + k));
        *to = hn::GetLane(single);
    } else {
        joinPairs(from, to, pieces / 2 * count, op);
        for (std::size_t left = pieces / 2; left > 1; left /= 2)
            joinPairs(to, to, left / 2 * count, op);
    }
}

// Ranges of the units that begin with a piece of the window. @pre a unit is one piece, or 2ⁿ; or there is one unit
inline void takeRanges(const PieceRanges& ranges, std::size_t piece, std::size_t perUnit, Units& units)
{
    joinPieces(
        ranges.low(piece), perUnit, units.count, units.low, [](auto a, auto b) HWY_ATTR { return hn::Min(a, b); });
    joinPieces(
        ranges.high(piece), perUnit, units.count, units.high, [](auto a, auto b) HWY_ATTR { return hn::Max(a, b); });
}

// ---- Grids

// Highway's Iota() writes and reads memory each time.
HWY_ALIGN inline constexpr float laneNumbers[16] = {
    0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 7.0F, 8.0F, 9.0F, 10.0F, 11.0F, 12.0F, 13.0F, 14.0F, 15.0F};

// In the last bits of a sum with 1.5·2²³ is the nearest whole number, of anything below 2²².
inline constexpr float roundingSum = 12582912.0F;

// The step nearest to w·inverse, |w·inverse| < 2²². @pre magic is roundingSum in all lanes
template<class V>
HWY_INLINE V nearestStep(V w, V inverse, V magic)
{
    return hn::Sub(hn::MulAdd(w, inverse, magic), magic);
}

// As integerGrid(), for units whose weights are of a good size; false where one is not. @pre rule is not Given
inline bool makeGrids(const IntegerScheme& scheme, Units& units)
{
    const Wide d;
    const auto count = hn::Set(d, static_cast<float>(units.count));
    const auto zero = hn::Zero(d), one = hn::Set(d, 1.0F);
    const auto largest = hn::Set(d, scheme.codes.highest);
    const auto middle = hn::Set(d, 0.5F * (scheme.codes.highest + 1.0F));
    const auto magic = hn::Set(d, roundingSum);
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
    const V one = hn::Set(d, 1.0F), magic = hn::Set(d, roundingSum);
    const V size = hn::Max(hn::Neg(low), high);
    const auto above = hn::Gt(high, hn::Neg(low));
    extreme = hn::IfThenElse(above, size, hn::Neg(size));
    const V exact = hn::Round(hn::Div(extreme, scale));
    const V inside = hn::Min(hn::Max(exact, lowest), highest);
    clipped = hn::VecFromMask(d, hn::Ne(exact, inside));
    for (int attempt = 0; attempt < 2; ++attempt) {
        const V step = nearestStep(extreme, inverse, magic);
        const V closer = hn::Mul(inverse, hn::Set(d, 1.0F - 0x1p-24F)),
                farther = hn::Mul(inverse, hn::Set(d, 1.0F + 0x1p-23F));
        inverse = hn::IfThenElse(hn::Gt(hn::Abs(step), hn::Abs(inside)), closer, inverse);
        inverse = hn::IfThenElse(hn::Lt(hn::Abs(step), hn::Abs(inside)), farther, inverse);
    }
    const auto settled = hn::Eq(nearestStep(extreme, inverse, magic), inside);
    // Not where weights of both signs are as large, or one reaches farther than that middle.
    const auto alone = hn::Lt(hn::Min(hn::Neg(low), high), size);
    const auto near = hn::Le(hn::Abs(hn::Sub(exact, inside)), one);
    return hn::IfThenZeroElse(hn::And(hn::And(settled, alone), near), one);
}

// Squares of steps, and of errors near the limit, must be normal numbers.
inline constexpr float smallestStep = 0x1p-50F;

// As prepareGrids(), which says why, for symmetric ranges: they are all alike, and no weight leaves one, for it ends on
// a step.
inline bool prepareSymmetricGrids(const IntegerCodes& codes, Units& units)
{
    const Wide d;
    assert(codes.highest >= 3.0F && codes.highest < 65'536.0F);
    const auto one = hn::Set(d, 1.0F);
    const auto margin = hn::Set(d, 0.5F - (0.5F * (codes.highest + 1.0F) + 1.0F) * 0x1p-22F);
    const auto count = hn::Set(d, static_cast<float>(units.count));
    auto good = hn::Eq(one, one);
    for (std::size_t u = 0; u < units.count; u += wideLanes) {
        const auto step = hn::LoadU(d, units.scale + u), largest = hn::Mul(step, margin);
        hn::StoreU(hn::Div(one, step), d, units.inverse + u);
        hn::StoreU(hn::Mul(largest, largest), d, units.limit + u);
        const auto sized = hn::And(hn::Ge(step, hn::Set(d, smallestStep)), hn::Le(step, hn::Set(d, 0x1p80F)));
        const auto beyond = hn::Ge(hn::Add(hn::Load(d, laneNumbers), hn::Set(d, static_cast<float>(u))), count);
        good = hn::And(good, hn::Or(sized, beyond));
    }
    units.anyClips = false;
    return hn::AllTrue(d, good);
}

// What the quick rounding needs to know. False where the grid is so odd that only the definition itself will do.
inline bool prepareGrids(const IntegerScheme& scheme, Units& units)
{
    if (scheme.rule == IntegerRule::Symmetric)
        return prepareSymmetricGrids(scheme.codes, units);
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
        // In units of 2⁻²⁴ steps, for a weight n steps away. The definition's quotient is off by n; e tells that it
        // clearly rounds to the step it was measured from, if not for what ŵ is off by (n, and n more for w less a
        // floating minimum). Where weights may be clipped, the distance of the product tells, which the reciprocal's
        // error and its own put off by 2n, or by 6n where the reciprocal was adapted. What is taken from ½ here is 4n,
        // or 8n, and as much as two more steps' worth for the rounding of e² and of these bounds.
        const auto steps = hn::Add(hn::Max(hn::Abs(lowest), hn::Abs(highest)), hn::Set(d, 2.0F));
        const auto margin = hn::Sub(
            hn::Set(d, 0.5F), hn::Mul(steps, hn::Set(d, rule == IntegerRule::SymmetricFull ? 0x1p-21F : 0x1p-22F)));
        // Clipped is what rounds beyond the ends; a unit where that is a close thing counts as one that clips.
        const auto lowRatio = hn::Mul(hn::Sub(low, base), inverse), highRatio = hn::Mul(hn::Sub(high, base), inverse);
        auto clips = hn::IfThenElseZero(
            hn::Or(hn::Lt(lowRatio, hn::Sub(lowest, margin)), hn::Gt(highRatio, hn::Add(highest, margin))), one);
        if (rule == IntegerRule::SymmetricFull) {
            auto extreme = one, clipped = one;
            clips = settleExtremes(d, low, high, step, lowest, highest, inverse, extreme, clipped);
            const auto error = hn::Sub(extreme, hn::Mul(nearestStep(extreme, inverse, hn::Set(d, roundingSum)), step));
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
        const auto sized = hn::And(hn::Ge(step, hn::Set(d, smallestStep)), hn::Le(step, hn::Set(d, 0x1p80F)));
        const auto fine = hn::And(sized, hn::Le(widest, hn::Set(d, 0x1p20F)));
        good = hn::And(good, hn::Or(fine, beyond));
    }
    units.anyClips = !hn::AllTrue(d, hn::Eq(anyClips, hn::Zero(d)));
    return hn::AllTrue(d, good);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
