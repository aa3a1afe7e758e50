// SPDX-License-Identifier: GPL-3.0-or-later
// affineFit() and positiveFit() of ggml_fits.h in lanes: operation for operation the same, a candidate that improves is
// blended in. Weights and values lie as [i][lane]. Included once per instruction set, after hwy/foreach_target.h.
#if defined(QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#undef QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#else
#define QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#endif

#include "core/kernels/ggml_k_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {

// Sums over code, code² and code·value, each times the weight.
template<class V>
struct CodeSums {
    V l, ll, lx;
};

// Codes and their sums. literal: the products may be too large for the simple rounding.
template<class Lanes, bool literal, class V = typename Lanes::V>
HWY_INLINE CodeSums<V> PlaceAffineCodes(
    std::size_t length, const float* x, const float* w, V inverse, V minimum, float highest, float* codes)
{
    const V rounder = Lanes::set(kRounder), top = Lanes::set(kRounder + highest);
    CodeSums<V> sums {Lanes::set(0.0F), Lanes::set(0.0F), Lanes::set(0.0F)};
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(x + i);
        const V position = Mul(inverse, Sub(value, minimum));
        V code;
        if constexpr (literal)
            code = Min(Max(RoundLiterally(position), Lanes::set(0.0F)), Lanes::set(highest));
        else
            code = Sub(Min(Max(Add(position, rounder), rounder), top), rounder);
        Lanes::store(code, codes + i);
        const V weighted = Mul(Lanes::load(w + i), code);
        sums.l = Add(sums.l, weighted);
        sums.ll = Add(sums.ll, Mul(weighted, code));
        sums.lx = Add(sums.lx, Mul(weighted, value));
    }
    return sums;
}

template<class Lanes, class V = typename Lanes::V>
HWY_NOINLINE CodeSums<V> PlaceAffineCodesLiterally(
    std::size_t length, const float* x, const float* w, V inverse, V minimum, float highest, float* codes)
{
    return PlaceAffineCodes<Lanes, true>(length, x, w, inverse, minimum, highest, codes);
}

template<class Lanes, bool absolute, class V = typename Lanes::V>
HWY_INLINE V AffineError(std::size_t length, const float* x, const float* w, const float* codes, V scale, V minimum)
{
    V error = Lanes::set(0.0F);
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V difference = Sub(Add(Mul(scale, Lanes::load(codes + i)), minimum), Lanes::load(x + i));
        const V size = absolute ? Abs(difference) : Mul(difference, difference);
        error = Add(error, Mul(Lanes::load(w + i), size));
    }
    return error;
}

// What became of each lane. The codes are those that `inverse` and `start` give: inverse · (x − start).
template<class V>
struct AffineLanes {
    V scale, depth, inverse, start, sumOfWeights;
};

// S3.
template<class Lanes, bool absolute, class V = typename Lanes::V>
HWY_NOINLINE AffineLanes<V> AffineFitLanes(
    std::size_t length, const float* x, const float* w, float highest, const ggml::AffineSearch& search)
{
    HWY_ALIGN float codes[32 * Lanes::lanes];
    const V zero = Lanes::set(0.0F), roundable = Lanes::set(kRoundable);
    V lowest = Lanes::load(x), top = lowest;
    V sumW = Lanes::load(w), sumX = Mul(sumW, lowest);
    for (std::size_t i = Lanes::lanes; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(x + i), weight = Lanes::load(w + i);
        lowest = IfThenElse(Lt(value, lowest), value, lowest);
        top = IfThenElse(Gt(value, top), value, top);
        sumW = Add(sumW, weight);
        sumX = Add(sumX, Mul(weight, value));
    }
    lowest = IfThenElse(Gt(lowest, zero), zero, lowest);
    // Never above it, so that "highest ≤ lowest" and "highest == lowest" are one.
    const auto flat = Le(top, lowest);
    V inverse = IfThenZeroElse(flat, Div(Lanes::set(highest), Sub(top, lowest)));
    V scale = Div(Lanes::set(1.0F), inverse), minimum = lowest;
    V bestInverse = inverse, start = lowest;
    PlaceAffineCodesLiterally<Lanes>(length, x, w, inverse, minimum, highest, codes);
    V best = AffineError<Lanes, absolute>(length, x, w, codes, scale, minimum);
    for (int k = 0; k <= search.steps; ++k) {
        const float numerator = search.first + search.step * static_cast<float>(k) + highest;
        inverse = IfThenZeroElse(flat, Div(Lanes::set(numerator), Sub(top, minimum)));
        // The positions of the ends bound all others. NaN fails.
        const V left = Abs(Mul(inverse, Sub(lowest, minimum))), right = Abs(Mul(inverse, Sub(top, minimum)));
        const CodeSums<V> sums = HWY_LIKELY(Lanes::all(And(Le(left, roundable), Le(right, roundable))))
            ? PlaceAffineCodes<Lanes, false>(length, x, w, inverse, minimum, highest, codes)
            : PlaceAffineCodesLiterally<Lanes>(length, x, w, inverse, minimum, highest, codes);
        const V determinant = Sub(Mul(sumW, sums.ll), Mul(sums.l, sums.l));
        const auto solvable = Gt(determinant, zero);
        if (Lanes::none(solvable))
            continue;
        V newScale = Div(Sub(Mul(sumW, sums.lx), Mul(sumX, sums.l)), determinant);
        V newMinimum = Div(Sub(Mul(sums.ll, sumX), Mul(sums.l, sums.lx)), determinant);
        const auto positive = Gt(newMinimum, zero);
        newMinimum = IfThenZeroElse(positive, newMinimum);
        newScale = IfThenElse(positive, Div(sums.lx, sums.ll), newScale);
        const V error = AffineError<Lanes, absolute>(length, x, w, codes, newScale, newMinimum);
        const auto better = And(solvable, Lt(error, best));
        best = IfThenElse(better, error, best);
        bestInverse = IfThenElse(better, inverse, bestInverse);
        start = IfThenElse(better, minimum, start);
        scale = IfThenElse(better, newScale, scale);
        minimum = IfThenElse(better, newMinimum, minimum);
    }
    return {IfThenZeroElse(flat, scale), Sub(zero, minimum), bestInverse, start, sumW};
}

// S4. Writes the codes.
template<class Lanes, class V = typename Lanes::V>
HWY_NOINLINE V PositiveFitLanes(std::size_t length, const float* x, const float* w, float highest, float* codes)
{
    const V zero = Lanes::set(0.0F), limit = Lanes::set(highest);
    V top = zero;
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes)
        top = IfThenElse(Gt(Lanes::load(x + i), top), Lanes::load(x + i), top);
    const auto nothing = Lt(top, Lanes::set(ggml::kNothing));
    V inverse = zero, best = zero;
    for (int attempt = 0; attempt < 9; ++attempt) {
        const int shift = attempt == 0 ? 0 : attempt <= 4 ? attempt - 5 : attempt - 4;  // 0, −4 … −1, 1 … 4
        const V candidate = Div(Lanes::set(0.1F * static_cast<float>(shift) + highest), top);
        const V scale = Div(Lanes::set(1.0F), candidate);
        V error = zero;
        for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
            const V value = Lanes::load(x + i), position = Mul(candidate, value);
            // The first attempt keeps its codes in a byte instead of limiting them.
            const V code = attempt == 0 ? RoundToByte(position) : Min(RoundLiterally(position), limit);
            const V difference = Sub(value, Mul(scale, code));
            error = Add(error, Mul(Mul(Lanes::load(w + i), difference), difference));
        }
        if (attempt == 0) {
            best = error;
            inverse = candidate;
            continue;
        }
        const auto better = Lt(error, best);
        best = IfThenElse(better, error, best);
        inverse = IfThenElse(better, candidate, inverse);
    }
    V a = zero, b = zero;
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(x + i), weight = Lanes::load(w + i);
        const V code = Min(RoundLiterally(Mul(inverse, value)), limit);
        Lanes::store(WrapToByte(code), codes + i);
        a = Add(a, Mul(Mul(weight, value), code));
        b = Add(b, Mul(Mul(weight, code), code));
    }
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; ++pass) {
        changed = false;
        for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
            const V value = Lanes::load(x + i), weight = Lanes::load(w + i), code = Lanes::load(codes + i);
            V newA = Sub(a, Mul(Mul(weight, value), code));
            V newB = Sub(b, Mul(Mul(weight, code), code));
            const V moved = Min(RoundLiterally(Div(Mul(value, newB), newA)), limit);
            const auto usable = And(And(Gt(newA, zero), Gt(newB, zero)), Ne(moved, code));
            newA = Add(newA, Mul(Mul(weight, value), moved));
            newB = Add(newB, Mul(Mul(weight, moved), moved));
            const auto better = And(usable, Gt(Mul(Mul(newA, newA), b), Mul(Mul(a, a), newB)));
            if (Lanes::none(better))
                continue;
            Lanes::store(IfThenElse(better, WrapToByte(moved), code), codes + i);
            a = IfThenElse(better, newA, a);
            b = IfThenElse(better, newB, b);
            changed = true;
        }
    }
    if (!Lanes::none(nothing))
        for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes)
            Lanes::store(IfThenZeroElse(nothing, Lanes::load(codes + i)), codes + i);
    return IfThenZeroElse(nothing, IfThenElseZero(Gt(b, zero), Div(a, b)));
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
