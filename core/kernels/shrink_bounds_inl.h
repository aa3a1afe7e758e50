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

// Candidates are bounded so many at a time.
constexpr std::size_t candidateBlock = 8;

// Bounds are those of the mean of (|w − ŵ|/s₀)^2.4, s₀ the scale of the first candidate. lower may be NaN, which rules
// out nothing.
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

// Calls add(weights, error → error, 0 beyond the end) for every vector of a unit.
template<Sides sides, class Add>
HWY_INLINE void eachVector(const float* HWY_RESTRICT weights, std::size_t count, const Add& add)
{
    const Wide d;
    using V = hn::Vec<Wide>;
    const std::size_t whole = count / wideLanes * wideLanes;
    const auto sideOf = [&](const float* from) HWY_ATTR {
        const V w = hn::LoadU(d, from);
        return sides == Sides::Folded ? hn::Abs(w) : w;
    };
    HWY_UNROLL(2)
    for (std::size_t i = 0; i < whole; i += wideLanes)
        add(sideOf(weights + i), [](V error) HWY_ATTR { return error; });
    if (whole < count) {
        HWY_ALIGN float rest[wideLanes] {};
        std::copy(weights + whole, weights + count, rest);
        const auto real = hn::FirstN(d, count - whole);
        add(sideOf(rest), [&](V error) HWY_ATTR { return hn::IfThenElseZero(real, error); });
    }
}

// Σ|e|ᵖ in lanes.
struct MomentLanes {
    hn::Vec<Wide> first, second, third, fourth;

    explicit MomentLanes(Wide d)
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
};

// Those of the candidates of a block.
struct Moments {
    hn::Vec<Wide> first[candidateBlock], second[candidateBlock], third[candidateBlock], fourth[candidateBlock];

    HWY_INLINE void set(std::size_t k, const MomentLanes& lanes)
    {
        first[k] = lanes.first;
        second[k] = lanes.second;
        third[k] = lanes.third;
        fourth[k] = lanes.fourth;
    }
};

// Sums of so many vectors from this one on, one per lane.
HWY_INLINE hn::Vec<Eight> sumsOf(Eight d, const hn::Vec<Wide>* lanes)
{
#if HWY_TARGET != HWY_SCALAR
    if constexpr (eightLanes == 8) {
        const auto add = [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); };
        hn::Vec<Eight> eights[8];
        for (std::size_t k = 0; k < 8; ++k)
            eights[k] = inEight(lanes[k], add);
        return reduceEight(d, eights, add);
    }
#endif
    HWY_ALIGN float sums[eightLanes];
    for (std::size_t k = 0; k < eightLanes; ++k)
        sums[k] = hn::GetLane(hn::SumOfLanes(Wide(), lanes[k]));
    return hn::Load(d, sums);
}

// What sums of so many weights, those of the definition and powers may be off by, of themselves.
inline float relativeMargin(std::size_t count)
{
    return 5e-5F + 0x1p-22F * static_cast<float>(count) / static_cast<float>(wideLanes);
}

// What float arithmetic adds to an error or takes from it, in steps: sixteen roundings of a weight's quotient, and as
// many again to be sure.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V roundingIn(D d, float absMax, V inverse)
{
    return hn::Mul(hn::Set(d, absMax * 0x1p-19F), inverse);
}

// Moments of a unit's errors under the candidates first … first + 1, in their steps. A fused product and sum with
// 1.5·2²³ leaves the step in the last bits, which order as whole numbers do.
template<Sides sides>
HWY_INLINE void addMoments(const float* HWY_RESTRICT weights, std::size_t count, const Candidates& candidates,
    const IntegerCodes& codes, std::size_t first, Moments& moments)
{
    const Wide d;
    const hn::RebindToSigned<Wide> di;
    const auto magic = hn::Set(d, roundingSum);
    struct Steps {
        hn::Vec<Wide> inverse, minimum;
        hn::Vec<hn::RebindToSigned<Wide>> lowest, highest;
    };
    const auto stepsOf = [&](std::size_t i) HWY_ATTR {
        const float zero = sides == Sides::Floating ? 0.0F : candidates.zero[i];
        return Steps {hn::Set(d, 1.0F / candidates.scale[i]), hn::Set(d, candidates.zero[i]),
            hn::BitCast(di, hn::Add(magic, hn::Set(d, codes.lowest - zero))),
            hn::BitCast(di, hn::Add(magic, hn::Set(d, codes.highest - zero)))};
    };
    const auto errorOf = [&](hn::Vec<Wide> side, const Steps& steps) HWY_ATTR {
        const auto w = sides == Sides::Floating ? hn::Sub(side, steps.minimum) : side;
        auto step = hn::Min(hn::BitCast(di, hn::MulAdd(w, steps.inverse, magic)), steps.highest);
        if constexpr (sides != Sides::Folded)
            step = hn::Max(step, steps.lowest);
        return hn::MulSub(w, steps.inverse, hn::Sub(hn::BitCast(d, step), magic));
    };
    const Steps a = stepsOf(first), b = stepsOf(first + 1);
    MomentLanes lanesA(d), lanesB(d);
    eachVector<sides>(weights, count, [&](hn::Vec<Wide> w, const auto& kept) HWY_ATTR {
        lanesA.add(kept(errorOf(w, a)));
        lanesB.add(kept(errorOf(w, b)));
    });
    moments.set(first % candidateBlock, lanesA);
    moments.set(first % candidateBlock + 1, lanesB);
}

// Bounds of the candidates of one block, by polynomials below and above x^2.4 for all x ≥ 0, fitted by linear
// programming to be near it for errors spread evenly up to half a step and a few beyond: 0.2 % off there, on average.
template<Sides sides>
void BoundBlock(const float* HWY_RESTRICT weights, std::size_t count, const IntegerCodes& codes, std::size_t first,
    Candidates& candidates)
{
    const Eight d;
    using V = hn::Vec<Eight>;
    Moments moments;
    for (std::size_t k = 0; k < candidateBlock; k += 2)
        addMoments<sides>(weights, count, candidates, codes, first + k, moments);
    const auto share = hn::Set(d, 1.0F / static_cast<float>(count)), one = hn::Set(d, 1.0F);
    const float relative = relativeMargin(count);
    const auto less = hn::Set(d, 1.0F - relative), more = hn::Set(d, 1.0F + relative);
    for (std::size_t k = 0; k < candidateBlock; k += eightLanes) {
        const auto meanOf = [&](const hn::Vec<Wide>* lanes) HWY_ATTR { return hn::Mul(share, sumsOf(d, lanes + k)); };
        const auto odd = meanOf(moments.first), square = meanOf(moments.second);
        const auto cube = meanOf(moments.third), fourth = meanOf(moments.fourth);
        const auto term = [&](float factor, V moment) HWY_ATTR { return hn::Mul(hn::Set(d, factor), moment); };
        const auto below = hn::Sub(hn::Mul(less, hn::Add(term(0.499812365F, square), term(0.679341137F, cube))),
            hn::Mul(more, hn::Add(term(0.0214478076F, odd), term(0.159174353F, fourth))));
        const auto above = hn::Sub(
            hn::Mul(more,
                hn::Add(hn::Set(d, 0.00229792297F), hn::Add(term(0.621425152F, square), term(0.448013842F, cube)))),
            hn::Mul(less, term(0.048379492F, odd)));
        // Were each error greater by δ: (a + δ)^2.4 ≤ a^2.4/(1 − θ)^1.4 + δ·c^1.4 for any c and θ = δ/c, by convexity,
        // and (1 − θ)^1.4 ≥ 1 − 1.4·θ. Here with c = ¼, about what errors are.
        const auto scale = hn::LoadU(d, candidates.scale + first + k);
        const auto delta = roundingIn(d, candidates.absMax, hn::Div(one, scale));
        const auto factor = hn::NegMulAdd(hn::Set(d, 5.6F), delta, one), offset = term(0.144F, delta);
        const auto ratio = hn::Div(scale, hn::Set(d, candidates.scale[0])), unit = powerOf(d, ratio);
        const auto lower = hn::Mul(hn::Sub(below, offset), factor);
        const auto upper = hn::Mul(unit, hn::Add(hn::Div(above, factor), offset));
        // The weight farthest beyond the ends of a grid costs that much by itself.
        const auto zero = hn::LoadU(d, candidates.zero + first + k);
        const auto point = sides == Sides::Floating ? hn::Zero(d) : zero;
        const auto base = sides == Sides::Floating ? zero : hn::Zero(d);
        const auto top = hn::MulAdd(hn::Sub(hn::Set(d, codes.highest), point), scale, base);
        const auto bottom = hn::MulAdd(hn::Sub(hn::Set(d, codes.lowest), point), scale, base);
        const auto beyond =
            hn::Max(hn::Sub(hn::Set(d, candidates.high), top), hn::Sub(bottom, hn::Set(d, candidates.low)));
        const auto farthest = hn::Max(hn::Sub(hn::Div(beyond, scale), delta), hn::Zero(d));
        const auto alone = hn::Mul(hn::Mul(less, share), powerOf(d, farthest));
        // Where quotients are coarse, or grids are not those of one shrinking range, nothing is said.
        const auto sure = hn::And(hn::Le(delta, hn::Set(d, 0x1p-4F)), hn::Ge(ratio, hn::Set(d, 0x1p-6F)));
        const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
        hn::StoreU(hn::IfThenElseZero(sure, hn::Mul(unit, hn::Max(alone, lower))), d, candidates.lower + first + k);
        hn::StoreU(hn::IfThenElse(sure, upper, infinity), d, candidates.upper + first + k);
    }
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
    eachVector<sides>(weights, count, [&](hn::Vec<Wide> w, const auto& kept) HWY_ATTR {
        const auto x = hn::Mul(w, factor), below = hn::Min(x, top);
        const auto error = kept(hn::Sub(x, sides == Sides::Folded ? below : hn::Max(below, bottom)));
        sum = hn::Add(sum, hn::Abs(error));
        squares = hn::MulAdd(error, error, squares);
    });
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
