// SPDX-License-Identifier: GPL-3.0-or-later
// Between what the cost of a clipped range lies, for a fraction of the work of a cost. Included once per instruction
// set.
#if defined(QUANTLOUPE_SHRINK_BOUNDS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_SHRINK_BOUNDS_INL
#undef QUANTLOUPE_SHRINK_BOUNDS_INL
#else
#define QUANTLOUPE_SHRINK_BOUNDS_INL
#endif

#include "core/kernels/integer_units_inl.h"
#include "core/kernels/power_inl.h"
#include "core/kernels/shrink_search.h"

#include <hwy/highway.h>

#include <algorithm>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Candidates are bounded so many at a time, one per lane.
constexpr std::size_t candidateBlock = wideLanes;

// Bounds are those of the mean of (|w − ŵ|/s₀)^2.4, s₀ the scale of the first candidate. lower is never NaN; upper is
// where a weight is not finite, and limits nothing.
struct Candidates {
    static constexpr std::size_t padded = (mostShrinkCandidates / candidateBlock + 1) * candidateBlock;
    HWY_ALIGN float shrink[padded];  // of the last, beyond it
    HWY_ALIGN float scale[padded], zero[padded];
    HWY_ALIGN float lower[padded], upper[padded];
    std::size_t count = 0;
    float low = 0.0F, high = 0.0F, absMax = 0.0F;  // of the unit
};

// Where to look for a weight's step. Folded: the grid is the same on both sides of 0, |w| will do.
enum class Sides { Folded, Both, Floating };

// Σ|e|ᵖ of the candidates of a block.
struct Moments {
    hn::Vec<Wide> first, second, third, fourth;

    explicit HWY_INLINE Moments(Wide d)
        : first(hn::Zero(d))
        , second(first)
        , third(first)
        , fourth(first)
    {
    }
    HWY_INLINE void add(hn::Vec<Wide> error)
    {
        const auto e = hn::Abs(error), square = hn::Mul(error, error);
        first = hn::Add(first, e);
        second = hn::Add(second, square);
        third = hn::MulAdd(square, e, third);
        fourth = hn::MulAdd(square, square, fourth);
    }
    HWY_INLINE void add(const Moments& other)
    {
        first = hn::Add(first, other.first);
        second = hn::Add(second, other.second);
        third = hn::Add(third, other.third);
        fourth = hn::Add(fourth, other.fourth);
    }
};

// Weights whose errors are added before their sum is added to the rest: what sums may be off by hardly grows with a
// unit.
constexpr std::size_t shortSum = 64;

// What sums of so many weights, one after the other or in lanes, those of the definition and powers may be off by, of
// themselves.
inline float relativeMargin(std::size_t count)
{
    const std::size_t longest = HWY_MIN(count, shortSum) + count / wideLanes;
    return 5e-5F + 0x1p-22F * static_cast<float>(longest);
}

// What float arithmetic adds to an error or takes from it, in steps: sixteen roundings of a weight's quotient, and as
// many again to be sure.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V roundingIn(D d, float absMax, V inverse)
{
    return hn::Mul(hn::Set(d, absMax * 0x1p-19F), inverse);
}

// The grids of a block of candidates, one per lane.
struct GridLanes {
    hn::Vec<Wide> scale, inverse, minimum, lowest, highest;  // ends of a grid: steps from 0, or from its minimum
};

template<Sides sides>
HWY_INLINE GridLanes gridLanes(const Candidates& candidates, const IntegerCodes& codes, std::size_t first)
{
    const Wide d;
    const auto zero = hn::LoadU(d, candidates.zero + first), none = hn::Zero(d);
    const auto point = sides == Sides::Floating ? none : zero;
    const auto scale = hn::LoadU(d, candidates.scale + first);
    return {scale, hn::Div(hn::Set(d, 1.0F), scale), sides == Sides::Floating ? zero : none,
        hn::Sub(hn::Set(d, codes.lowest), point), hn::Sub(hn::Set(d, codes.highest), point)};
}

// Moments of a unit's errors under the candidates of a block, in their steps. A fused product and sum with 1.5·2²³
// leaves the step in the last bits, which order as whole numbers do.
template<Sides sides>
HWY_INLINE Moments momentsOf(const float* HWY_RESTRICT weights, std::size_t count, const GridLanes& grids)
{
    const Wide d;
    const hn::RebindToSigned<Wide> di;
    const auto magic = hn::Set(d, roundingSum);
    const auto inverse = grids.inverse, minimum = grids.minimum;
    const auto lowest = hn::BitCast(di, hn::Add(magic, grids.lowest));
    const auto highest = hn::BitCast(di, hn::Add(magic, grids.highest));
    const auto errorOf = [&](float weight) HWY_ATTR {
        auto w = hn::Set(d, weight);
        if constexpr (sides == Sides::Floating)
            w = hn::Sub(w, minimum);
        auto step = hn::Min(hn::BitCast(di, hn::MulAdd(w, inverse, magic)), highest);
        if constexpr (sides != Sides::Folded)
            step = hn::Max(step, lowest);
        return hn::MulSub(w, inverse, hn::Sub(hn::BitCast(d, step), magic));
    };
    Moments sums(d);
    HWY_ALIGN float sizes[shortSum];  // where both sides are folded
    for (std::size_t from = 0; from < count; from += shortSum) {
        const std::size_t length = HWY_MIN(count - from, shortSum);
        const float* piece = weights + from;
        if constexpr (sides == Sides::Folded) {
            const hn::CappedTag<float, 1> one;
            std::size_t i = 0;
            for (; i + wideLanes <= length; i += wideLanes)
                hn::Store(hn::Abs(hn::LoadU(d, piece + i)), d, sizes + i);
            for (; i < length; ++i)
                hn::Store(hn::Abs(hn::LoadU(one, piece + i)), one, sizes + i);
            piece = sizes;
        }
        Moments even(d), odd(d);
        std::size_t i = 0;
        for (; i + 2 <= length; i += 2) {
            even.add(errorOf(piece[i]));
            odd.add(errorOf(piece[i + 1]));
        }
        if (i < length)
            even.add(errorOf(piece[i]));
        even.add(odd);
        sums.add(even);
    }
    return sums;
}

// Bounds of the candidates of one block, by polynomials below and above x^2.4 for all x ≥ 0, fitted by linear
// programming to be near it for errors spread evenly up to half a step and a few beyond: 0.2 % off there, on average.
template<Sides sides>
void BoundBlock(const float* HWY_RESTRICT weights, std::size_t count, const IntegerCodes& codes, std::size_t first,
    Candidates& candidates)
{
    const Wide d;
    using V = hn::Vec<Wide>;
    const GridLanes grids = gridLanes<sides>(candidates, codes, first);
    const Moments sums = momentsOf<sides>(weights, count, grids);
    const auto share = hn::Set(d, 1.0F / static_cast<float>(count)), one = hn::Set(d, 1.0F);
    const float relative = relativeMargin(count);
    const auto less = hn::Set(d, 1.0F - relative), more = hn::Set(d, 1.0F + relative);
    const auto odd = hn::Mul(share, sums.first), square = hn::Mul(share, sums.second);
    const auto cube = hn::Mul(share, sums.third), fourth = hn::Mul(share, sums.fourth);
    const auto term = [&](float factor, V moment) HWY_ATTR { return hn::Mul(hn::Set(d, factor), moment); };
    const auto below = hn::Sub(hn::Mul(less, hn::Add(term(0.499812365F, square), term(0.679341137F, cube))),
        hn::Mul(more, hn::Add(term(0.0214478076F, odd), term(0.159174353F, fourth))));
    const auto above =
        hn::Sub(hn::Mul(more,
                    hn::Add(hn::Set(d, 0.00229792297F), hn::Add(term(0.621425152F, square), term(0.448013842F, cube)))),
            hn::Mul(less, term(0.048379492F, odd)));
    // Were each error greater by δ: (a + δ)^2.4 ≤ a^2.4/(1 − θ)^1.4 + δ·c^1.4 for any c and θ = δ/c, by convexity,
    // and (1 − θ)^1.4 ≥ 1 − 1.4·θ. Here with c = ¼, about what errors are.
    const auto delta = roundingIn(d, candidates.absMax, grids.inverse);
    const auto factor = hn::NegMulAdd(hn::Set(d, 5.6F), delta, one), offset = term(0.144F, delta);
    const auto ratio = hn::Div(grids.scale, hn::Set(d, candidates.scale[0])), unit = powerOf(d, ratio);
    const auto lower = hn::Mul(hn::Sub(below, offset), factor);
    const auto upper = hn::Mul(unit, hn::Add(hn::Div(above, factor), offset));
    // The weight farthest beyond the ends of a grid costs that much by itself.
    const auto top = hn::MulAdd(grids.highest, grids.scale, grids.minimum);
    const auto bottom = hn::MulAdd(grids.lowest, grids.scale, grids.minimum);
    const auto beyond = hn::Max(hn::Sub(hn::Set(d, candidates.high), top), hn::Sub(bottom, hn::Set(d, candidates.low)));
    const auto farthest = hn::Max(hn::Sub(hn::Mul(beyond, grids.inverse), delta), hn::Zero(d));
    const auto alone = hn::Mul(hn::Mul(less, share), powerOf(d, farthest));
    // Where quotients are coarse, or grids are not those of one shrinking range, nothing is said.
    const auto sure = hn::And(hn::Le(delta, hn::Set(d, 0x1p-4F)), hn::Ge(ratio, hn::Set(d, 0x1p-6F)));
    const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
    const auto least = hn::Mul(unit, hn::Max(alone, lower));
    hn::StoreU(hn::IfThenElseZero(hn::And(sure, hn::Eq(least, least)), least), d, candidates.lower + first);
    hn::StoreU(hn::IfThenElse(sure, upper, infinity), d, candidates.upper + first);
}

// Ends of a grid.
struct Ends {
    float bottom, top;
};

// Whether all candidates whose grids end there, or before, cost more than `limit`: by what they clip from the weights
// beyond alone. Moments are log-convex in their order: (Σe^2.4)⁵ ≥ (Σe²)⁷/(Σ|e|)².
template<Sides sides>
bool clipTooMuch(
    const float* HWY_RESTRICT weights, std::size_t count, const Candidates& candidates, const Ends& ends, float limit)
{
    const Wide d;
    const auto factor = hn::Set(d, 1.0F / candidates.scale[0]);
    const auto delta = roundingIn(d, candidates.absMax, factor);
    const auto top = hn::MulAdd(hn::Set(d, ends.top), factor, delta);
    const auto bottom = hn::MulSub(hn::Set(d, ends.bottom), factor, delta);
    auto sum = hn::Zero(d), squares = sum;
    const auto add = [&](const float* from) HWY_ATTR {
        const auto w = hn::LoadU(d, from);
        const auto x = hn::Mul(sides == Sides::Folded ? hn::Abs(w) : w, factor), below = hn::Min(x, top);
        const auto error = hn::Sub(x, sides == Sides::Folded ? below : hn::Max(below, bottom));
        sum = hn::Add(sum, hn::Abs(error));
        squares = hn::MulAdd(error, error, squares);
    };
    const std::size_t whole = count / wideLanes * wideLanes;
    HWY_UNROLL(2)
    for (std::size_t i = 0; i < whole; i += wideLanes)
        add(weights + i);
    if (whole < count) {
        HWY_ALIGN float rest[wideLanes];
        std::fill_n(rest, wideLanes, ends.top);  // which is not clipped
        std::copy(weights + whole, weights + count, rest);
        add(rest);
    }
    const auto meanOf = [&](hn::Vec<Wide> lanes) HWY_ATTR {
        return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, lanes))) / static_cast<double>(count);
    };
    const double first = meanOf(sum), second = meanOf(squares), most = static_cast<double>(limit);
    const double seventh = second * second * second * second * second * second * second;
    const double fifth = most * most * most * most * most;
    return seventh > fifth * first * first * (1.0 + 16.0 * static_cast<double>(relativeMargin(count)));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
