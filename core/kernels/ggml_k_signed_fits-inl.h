// SPDX-License-Identifier: GPL-3.0-or-later
// signedFit() and descendingFit() of ggml_fits.h in lanes: operation for operation the same, a candidate that improves
// is blended in. Weights and values lie as [i][lane]. Included once per instruction set, after hwy/foreach_target.h.
#if defined(QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#undef QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#else
#define QUANTLOUPE_GGML_K_SIGNED_FITS_INL_H
#endif

#include "core/kernels/ggml_k_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {

// S1. `inverse` becomes what gives the codes: inverse · x; 0 where all codes are 0, not the middle one.
template<class Lanes, class V = typename Lanes::V>
HWY_NOINLINE V SignedFitLanes(std::size_t length, const float* x, const float* w, float levels, V& inverse)
{
    HWY_ALIGN float products[16 * Lanes::lanes];  // w·x
    const V zero = Lanes::set(0.0F), rounder = Lanes::set(kRounder);
    const V lowest = Lanes::set(kRounder - levels), highest = Lanes::set(kRounder + levels - 1.0F);
    V extreme = zero, magnitude = zero;
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(x + i);
        const auto larger = Gt(Abs(value), magnitude);
        magnitude = IfThenElse(larger, Abs(value), magnitude);
        extreme = IfThenElse(larger, value, extreme);
        Lanes::store(Mul(Lanes::load(w + i), value), products + i);
    }
    const auto nothing = Lt(magnitude, Lanes::set(ggml::kNothing));
    V scale = zero, best = zero;
    for (int attempt = 0; attempt < 19; ++attempt) {
        const int shift = attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;  // 0, −9 … −1, 1 … 9
        const V candidate = Div(Lanes::set(-(levels + 0.1F * static_cast<float>(shift))), extreme);
        V a = zero, b = zero;
        for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
            // At most levels + 1: the simple rounding does.
            const V position = Add(Mul(candidate, Lanes::load(x + i)), rounder);
            const V code = Sub(Min(Max(position, lowest), highest), rounder);
            a = Add(a, Mul(Lanes::load(products + i), code));
            b = Add(b, Mul(Mul(Lanes::load(w + i), code), code));
        }
        if (attempt == 0) {
            scale = IfThenElseZero(Ne(b, zero), Div(a, b));
            best = Mul(scale, a);
            inverse = candidate;
            continue;
        }
        const auto better = And(Gt(b, zero), Gt(Mul(a, a), Mul(best, b)));
        scale = IfThenElse(better, Div(a, b), scale);
        best = IfThenElse(better, Mul(scale, a), best);
        inverse = IfThenElse(better, candidate, inverse);
    }
    inverse = IfThenZeroElse(nothing, inverse);
    return IfThenZeroElse(nothing, scale);
}

// S2, with weights x². Writes the codes, −levels where a lane holds nothing.
HWY_INLINE FloatVector DescendingFitLanes(std::size_t length, const float* x, float levels, float* codes)
{
    HWY_ALIGN float weights[16 * kLanes];
    HWY_ALIGN float products[16 * kLanes];
    const FloatVector zero = Single::set(0.0F), rounder = Single::set(kRounder);
    const FloatVector lowest = Single::set(-levels), highest = Single::set(levels - 1.0F);
    FloatVector extreme = zero;
    for (std::size_t i = 0; i < length * kLanes; i += kLanes) {
        const FloatVector value = Single::load(x + i), weight = Mul(value, value);
        extreme = IfThenElse(Gt(Abs(value), Abs(extreme)), value, extreme);
        Single::store(weight, weights + i);
        Single::store(Mul(weight, value), products + i);
    }
    const auto nothing = Lt(Abs(extreme), Single::set(ggml::kNothing));
    const FloatVector inverse = IfThenZeroElse(nothing, Div(lowest, extreme));
    FloatVector a = zero, b = zero;
    for (std::size_t i = 0; i < length * kLanes; i += kLanes) {
        const FloatVector rounded = Sub(Add(Mul(inverse, Single::load(x + i)), rounder), rounder);
        const FloatVector code = Min(Max(rounded, lowest), highest);
        Single::store(code, codes + i);
        a = Add(a, Mul(Single::load(products + i), code));
        b = Add(b, Mul(Mul(Single::load(weights + i), code), code));
    }
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; ++pass) {
        changed = false;
        for (std::size_t i = 0; i < length * kLanes; i += kLanes) {
            const FloatVector code = Single::load(codes + i);
            const FloatVector weight = Single::load(weights + i), product = Single::load(products + i);
            FloatVector newA = Sub(a, Mul(product, code));
            FloatVector newB = Sub(b, Mul(Mul(weight, code), code));
            const FloatVector numerator = Mul(Single::load(x + i), newB);
            // Does numerator / newA clearly round to the code it has? Mostly so in all lanes, and division waits long.
            const FloatVector distance = Sub(numerator, Mul(code, newA)), half = Mul(newA, Single::set(0.499F));
            const auto up = hn::And(hn::Ge(distance, half), Lt(code, highest));
            const auto down = hn::And(hn::Le(distance, hn::Neg(half)), Gt(code, lowest));
            const auto usable = Gt(newA, zero);
            if (HWY_LIKELY(Single::none(hn::And(usable, hn::Or(up, down)))))
                continue;
            const FloatVector moved = Min(Max(RoundLiterally(Div(numerator, newA)), lowest), highest);
            newA = Add(newA, Mul(product, moved));
            newB = Add(newB, Mul(Mul(weight, moved), moved));
            const auto gains = Gt(Mul(Mul(newA, newA), b), Mul(Mul(a, a), newB));
            const auto better = hn::And(hn::And(usable, Ne(moved, code)), hn::And(Gt(newB, zero), gains));
            if (Single::none(better))
                continue;
            Single::store(IfThenElse(better, moved, code), codes + i);
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

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
