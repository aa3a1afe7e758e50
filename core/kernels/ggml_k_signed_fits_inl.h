// SPDX-License-Identifier: GPL-3.0-or-later
// signedFit() and descendingFit() of ggml_fits.h in lanes: operation for operation the same, a candidate that improves
// is blended in. Weights and values lie as [i][lane]. Included once per instruction set, after hwy/foreach_target.h.
#if defined(QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#undef QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#else
#define QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#endif

#include "core/kernels/ggml_k_lanes_inl.h"

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {

template<class V>
struct SignedSums {
    V a, b;  // of weights times value · code, code²
};

// One candidate of S1. limitedBelow, limitedAbove: codes can leave the range there.
template<class Lanes, bool limitedBelow, bool limitedAbove, class V = typename Lanes::V>
HWY_INLINE SignedSums<V> SumSignedCodes(
    std::size_t length, const float* x, const float* w, const float* products, float levels, V inverse)
{
    const V lowest = Lanes::set(-levels), highest = Lanes::set(levels - 1.0F);
    SignedSums<V> sums {Lanes::set(0.0F), Lanes::set(0.0F)};
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        // At most levels + 1: the simple rounding does.
        V code = RoundSimply(Mul(inverse, Lanes::load(x + i)));
        if constexpr (limitedBelow)
            code = Max(code, lowest);
        if constexpr (limitedAbove)
            code = Min(code, highest);
        sums.a = Add(sums.a, Mul(Lanes::load(products + i), code));
        sums.b = Add(sums.b, Mul(Mul(Lanes::load(w + i), code), code));
    }
    return sums;
}

// The first value of the largest magnitude, and that magnitude.
template<class Lanes, class V = typename Lanes::V>
HWY_INLINE V ExtremeOfLanes(std::size_t length, const float* x, V& magnitude)
{
    const V zero = Lanes::set(0.0F);
    V top = Lanes::load(x), bottom = top;
    for (std::size_t i = Lanes::lanes; i < length * Lanes::lanes; i += Lanes::lanes) {
        top = Max(top, Lanes::load(x + i));
        bottom = Min(bottom, Lanes::load(x + i));
    }
    magnitude = Max(top, Sub(zero, bottom));
    V extreme = IfThenElse(Eq(top, magnitude), top, bottom);
    if (HWY_LIKELY(Lanes::none(Eq(top, Sub(zero, bottom)))))
        return extreme;
    // Both ends are as large: the first counts.
    for (std::size_t i = length * Lanes::lanes; i > 0; i -= Lanes::lanes) {
        const V value = Lanes::load(x + i - Lanes::lanes);
        extreme = IfThenElse(Eq(Abs(value), magnitude), value, extreme);
    }
    return extreme;
}

// S1. `inverse` becomes what gives the codes: inverse · x; 0 where all codes are 0, not the middle one.
template<class Lanes, class V = typename Lanes::V>
HWY_NOINLINE V SignedFitLanes(std::size_t length, const float* x, const float* w, float levels, V& inverse)
{
    HWY_ALIGN float products[16 * Lanes::lanes];  // w·x
    const V zero = Lanes::set(0.0F);
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes)
        Lanes::store(Mul(Lanes::load(w + i), Lanes::load(x + i)), products + i);
    V magnitude;
    const V extreme = ExtremeOfLanes<Lanes>(length, x, magnitude);
    const auto candidateOf = [&](int shift) HWY_ATTR {
        return Div(Lanes::set(-(levels + 0.1F * static_cast<float>(shift))), extreme);
    };
    V bestInverse = candidateOf(0);
    SignedSums<V> sums = SumSignedCodes<Lanes, false, true>(length, x, w, products, levels, bestInverse);
    V scale = IfThenElseZero(Ne(sums.b, zero), Div(sums.a, sums.b));
    V best = Mul(scale, sums.a);
    for (int shift = -9; shift <= 9; ++shift) {
        if (shift == 0)
            continue;
        const V candidate = candidateOf(shift);
        // No position is further out than levels + shift / 10, which alone decides what must be limited.
        if (shift <= -6)
            sums = SumSignedCodes<Lanes, false, false>(length, x, w, products, levels, candidate);
        else if (shift <= 4)
            sums = SumSignedCodes<Lanes, false, true>(length, x, w, products, levels, candidate);
        else
            sums = SumSignedCodes<Lanes, true, true>(length, x, w, products, levels, candidate);
        const auto better = And(Gt(sums.b, zero), Gt(Mul(sums.a, sums.a), Mul(best, sums.b)));
        scale = IfThenElse(better, Div(sums.a, sums.b), scale);
        best = IfThenElse(better, Mul(scale, sums.a), best);
        bestInverse = IfThenElse(better, candidate, bestInverse);
    }
    const auto nothing = Lt(magnitude, Lanes::set(ggml::kNothing));
    inverse = IfThenZeroElse(nothing, bestInverse);
    return IfThenZeroElse(nothing, scale);
}

// Between which quotients a code clearly is what they round to; at the ends of the range on one side alone.
struct CodeEdges {
    FloatVector low, high;

    CodeEdges(FloatVector code, FloatVector lowest, FloatVector highest)
    {
        const FloatVector clear = Single::set(0.499F), infinity = Single::set(std::numeric_limits<float>::infinity());
        low = IfThenElse(Gt(code, lowest), Sub(code, clear), Sub(Single::set(0.0F), infinity));
        high = IfThenElse(Lt(code, highest), Add(code, clear), infinity);
    }
};

// S2, with weights x². Writes the codes, −levels where a lane holds nothing.
HWY_INLINE FloatVector DescendingFitLanes(std::size_t length, const float* x, float levels, float* codes)
{
    HWY_ALIGN float weights[16 * kLanes];
    HWY_ALIGN float products[16 * kLanes];
    HWY_ALIGN float partsOfA[16 * kLanes];  // what each code adds to a, and to b
    HWY_ALIGN float partsOfB[16 * kLanes];
    HWY_ALIGN float lowEdges[16 * kLanes];
    HWY_ALIGN float highEdges[16 * kLanes];
    const FloatVector zero = Single::set(0.0F), one = Single::set(1.0F);
    const FloatVector lowest = Single::set(-levels), highest = Single::set(levels - 1.0F);
    FloatVector magnitude;
    const FloatVector extreme = ExtremeOfLanes<Single>(length, x, magnitude);
    const auto nothing = Lt(magnitude, Single::set(ggml::kNothing));
    const FloatVector inverse = IfThenZeroElse(nothing, Div(lowest, extreme));
    FloatVector a = zero, b = zero;
    for (std::size_t i = 0; i < length * kLanes; i += kLanes) {
        const FloatVector value = Single::load(x + i), weight = Mul(value, value), product = Mul(weight, value);
        Single::store(weight, weights + i);
        Single::store(product, products + i);
        // At most `levels`.
        const FloatVector code = Min(RoundSimply(Mul(inverse, value)), highest);
        Single::store(code, codes + i);
        const FloatVector partOfA = Mul(product, code), partOfB = Mul(Mul(weight, code), code);
        Single::store(partOfA, partsOfA + i);
        Single::store(partOfB, partsOfB + i);
        const CodeEdges edges(code, lowest, highest);
        Single::store(edges.low, lowEdges + i);
        Single::store(edges.high, highEdges + i);
        a = Add(a, partOfA);
        b = Add(b, partOfB);
    }
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; ++pass) {
        changed = false;
        for (std::size_t i = 0; i < length * kLanes; i += kLanes) {
            FloatVector newA = Sub(a, Single::load(partsOfA + i));
            FloatVector newB = Sub(b, Single::load(partsOfB + i));
            const FloatVector numerator = Mul(Single::load(x + i), newB);
            // Does numerator / newA clearly round to the code it has? Mostly so in all lanes.
            const auto below = hn::Le(numerator, Mul(Single::load(lowEdges + i), newA));
            const auto above = hn::Ge(numerator, Mul(Single::load(highEdges + i), newA));
            const auto open = hn::And(Gt(newA, zero), hn::Or(below, above));
            if (HWY_LIKELY(Single::none(open)))
                continue;
            // If not, then mostly to the next: division waits long.
            const FloatVector code = Single::load(codes + i), far = Abs(Sub(numerator, Mul(code, newA)));
            const auto next = hn::And(Gt(far, Mul(newA, Single::set(0.501F))), Lt(far, Mul(newA, Single::set(1.499F))));
            FloatVector moved = IfThenElse(above, Add(code, one), Sub(code, one));
            if (HWY_UNLIKELY(!Single::none(hn::AndNot(next, open))))
                moved = Min(Max(RoundLiterally(Div(numerator, newA)), lowest), highest);
            const FloatVector weight = Single::load(weights + i);
            const FloatVector partOfA = Mul(Single::load(products + i), moved),
                              partOfB = Mul(Mul(weight, moved), moved);
            newA = Add(newA, partOfA);
            newB = Add(newB, partOfB);
            const auto gains = Gt(Mul(Mul(newA, newA), b), Mul(Mul(a, a), newB));
            const auto better = hn::And(hn::And(open, Ne(moved, code)), hn::And(Gt(newB, zero), gains));
            if (Single::none(better))
                continue;
            const FloatVector kept = IfThenElse(better, moved, code);
            const CodeEdges edges(kept, lowest, highest);
            Single::store(kept, codes + i);
            Single::store(edges.low, lowEdges + i);
            Single::store(edges.high, highEdges + i);
            Single::store(IfThenElse(better, partOfA, Single::load(partsOfA + i)), partsOfA + i);
            Single::store(IfThenElse(better, partOfB, Single::load(partsOfB + i)), partsOfB + i);
            a = IfThenElse(better, newA, a);
            b = IfThenElse(better, newB, b);
            changed = true;
        }
    }
    if (!Single::none(nothing))
        for (std::size_t i = 0; i < length * kLanes; i += kLanes)
            Single::store(IfThenElse(nothing, lowest, Single::load(codes + i)), codes + i);
    return IfThenZeroElse(nothing, IfThenElseZero(Gt(b, zero), Div(a, b)));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
