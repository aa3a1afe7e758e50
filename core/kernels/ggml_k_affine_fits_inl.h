// SPDX-License-Identifier: GPL-3.0-or-later
// affineFit() and positiveFit() of ggml_fits.h in lanes: operation for operation the same, a candidate that improves is
// blended in. Weights and values lie as [i][lane]. Included once per instruction set, after hwy/foreach_target.h.
#if defined(QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#undef QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#else
#define QUANTLOUPE_GGML_K_AFFINE_FITS_INL_H
#endif

#include "core/kernels/ggml_k_lanes_inl.h"

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {

// One S3 search in lanes, between its steps. The codes found are those that `bestInverse` and `start` give:
// bestInverse · (x − start).
template<class Lanes>
struct AffineTask {
    HWY_ALIGN float x[32 * Lanes::lanes];
    HWY_ALIGN float w[32 * Lanes::lanes];
    HWY_ALIGN float codes[32 * Lanes::lanes];
    // By lane. In memory, not in members of vector type, which compilers copy piece by piece.
    HWY_ALIGN float lowest[Lanes::lanes], top[Lanes::lanes];                         // of x; lowest ≤ 0
    HWY_ALIGN float sumW[Lanes::lanes], sumX[Lanes::lanes];                          // of weights; of weights times x
    HWY_ALIGN float scale[Lanes::lanes], minimum[Lanes::lanes], best[Lanes::lanes];  // grid and error of the best
    HWY_ALIGN float bestInverse[Lanes::lanes], start[Lanes::lanes];
    HWY_ALIGN float inverse[Lanes::lanes];                             // of the candidate
    HWY_ALIGN float newScale[Lanes::lanes], newMinimum[Lanes::lanes];  // its grid by least squares; NaN: none
};

enum class Placing {
    Inside,    // all codes fall between 0 and the highest by themselves
    Clamped,   // or must be moved there
    Literally  // or are too far away for simple rounding
};

// The positions of the ends bound all others. NaN is taken literally.
template<class Lanes, class V = typename Lanes::V>
HWY_INLINE Placing PlacingOf(const AffineTask<Lanes>& task, float highest)
{
    const V inverse = Lanes::load(task.inverse), minimum = Lanes::load(task.minimum);
    const V left = Mul(inverse, Sub(Lanes::load(task.lowest), minimum));
    const V right = Mul(inverse, Sub(Lanes::load(task.top), minimum));
    const V low = Lanes::set(-0.49F), high = Lanes::set(highest + 0.49F);
    if (Lanes::all(And(And(Le(low, left), Le(left, high)), And(Le(low, right), Le(right, high)))))
        return Placing::Inside;
    const V roundable = Lanes::set(kRoundable);
    const bool simple = Lanes::all(And(Le(Abs(left), roundable), Le(Abs(right), roundable)));
    return HWY_LIKELY(simple) ? Placing::Clamped : Placing::Literally;
}

// Codes of a candidate, and the grid that suits them best.
template<class Lanes, Placing placing, class V = typename Lanes::V>
HWY_INLINE void PlaceCodes(AffineTask<Lanes>& task, std::size_t length, float highest)
{
    const V top = Lanes::set(highest), zero = Lanes::set(0.0F);
    const V inverse = Lanes::load(task.inverse), minimum = Lanes::load(task.minimum);
    V sumL = zero, sumLl = zero, sumLx = zero;  // of weights times code, code², code · x
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(task.x + i);
        const V position = Mul(inverse, Sub(value, minimum));
        V code;
        if constexpr (placing == Placing::Literally)
            code = Min(Max(RoundLiterally(position), zero), top);
        else if constexpr (placing == Placing::Clamped)
            code = Min(Max(RoundSimply(position), zero), top);
        else
            code = RoundSimply(position);
        Lanes::store(code, task.codes + i);
        const V weighted = Mul(Lanes::load(task.w + i), code);
        sumL = Add(sumL, weighted);
        sumLl = Add(sumLl, Mul(weighted, code));
        sumLx = Add(sumLx, Mul(weighted, value));
    }
    const V sumW = Lanes::load(task.sumW), sumX = Lanes::load(task.sumX);
    const V determinant = Sub(Mul(sumW, sumLl), Mul(sumL, sumL));
    V newScale = Div(Sub(Mul(sumW, sumLx), Mul(sumX, sumL)), determinant);
    V newMinimum = Div(Sub(Mul(sumLl, sumX), Mul(sumL, sumLx)), determinant);
    const auto positive = Gt(newMinimum, zero);
    newMinimum = IfThenZeroElse(positive, newMinimum);
    newScale = IfThenElse(positive, Div(sumLx, sumLl), newScale);
    const V none = Lanes::set(std::numeric_limits<float>::quiet_NaN());
    Lanes::store(IfThenElse(Gt(determinant, zero), newScale, none), task.newScale);
    Lanes::store(newMinimum, task.newMinimum);
}

template<class Lanes>
HWY_NOINLINE void TryCandidate(AffineTask<Lanes>& task, std::size_t length, float highest)
{
    switch (PlacingOf(task, highest)) {
    case Placing::Inside: return PlaceCodes<Lanes, Placing::Inside>(task, length, highest);
    case Placing::Clamped: return PlaceCodes<Lanes, Placing::Clamped>(task, length, highest);
    case Placing::Literally: return PlaceCodes<Lanes, Placing::Literally>(task, length, highest);
    }
}

template<class Lanes, bool absolute, class V = typename Lanes::V>
HWY_INLINE V AffineError(const AffineTask<Lanes>& task, std::size_t length, V scale, V minimum)
{
    V error = Lanes::set(0.0F);
    for (std::size_t i = 0; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V difference = Sub(Add(Mul(scale, Lanes::load(task.codes + i)), minimum), Lanes::load(task.x + i));
        const V size = absolute ? Abs(difference) : Mul(difference, difference);
        error = Add(error, Mul(Lanes::load(task.w + i), size));
    }
    return error;
}

// The next candidate, from the best minimum so far. Where all values are one, all codes are 0.
template<class Lanes, class V = typename Lanes::V>
HWY_INLINE void NextCandidate(AffineTask<Lanes>& task, V minimum, float numerator)
{
    const V top = Lanes::load(task.top);
    // Never below the lowest, so that "highest ≤ lowest" and "highest == lowest" are one.
    const auto flat = Le(top, Lanes::load(task.lowest));
    Lanes::store(IfThenZeroElse(flat, Div(Lanes::set(numerator), Sub(top, minimum))), task.inverse);
}

// Takes the candidate where it is better, and makes the next one.
template<class Lanes, bool absolute, class V = typename Lanes::V>
HWY_NOINLINE void JudgeCandidate(AffineTask<Lanes>& task, std::size_t length, float nextNumerator)
{
    const V newScale = Lanes::load(task.newScale), newMinimum = Lanes::load(task.newMinimum);
    const V error = AffineError<Lanes, absolute>(task, length, newScale, newMinimum);
    const V best = Lanes::load(task.best), minimum = Lanes::load(task.minimum);
    const auto better = Lt(error, best);
    const V bestMinimum = IfThenElse(better, newMinimum, minimum);
    Lanes::store(IfThenElse(better, error, best), task.best);
    Lanes::store(IfThenElse(better, Lanes::load(task.inverse), Lanes::load(task.bestInverse)), task.bestInverse);
    Lanes::store(IfThenElse(better, minimum, Lanes::load(task.start)), task.start);
    Lanes::store(IfThenElse(better, newScale, Lanes::load(task.scale)), task.scale);
    Lanes::store(bestMinimum, task.minimum);
    NextCandidate(task, bestMinimum, nextNumerator);
}

// From x and w to the first candidate.
template<class Lanes, bool absolute, class V = typename Lanes::V>
HWY_NOINLINE void BeginAffineFit(AffineTask<Lanes>& task, std::size_t length, float highest, float firstNumerator)
{
    const V zero = Lanes::set(0.0F);
    V lowest = Lanes::load(task.x), top = lowest;
    V sumW = Lanes::load(task.w), sumX = Mul(sumW, lowest);
    for (std::size_t i = Lanes::lanes; i < length * Lanes::lanes; i += Lanes::lanes) {
        const V value = Lanes::load(task.x + i), weight = Lanes::load(task.w + i);
        lowest = IfThenElse(Lt(value, lowest), value, lowest);
        top = IfThenElse(Gt(value, top), value, top);
        sumW = Add(sumW, weight);
        sumX = Add(sumX, Mul(weight, value));
    }
    lowest = IfThenElse(Gt(lowest, zero), zero, lowest);
    for (float* low : {task.lowest, task.minimum, task.start})
        Lanes::store(lowest, low);
    Lanes::store(top, task.top);
    Lanes::store(sumW, task.sumW);
    Lanes::store(sumX, task.sumX);
    NextCandidate(task, lowest, highest);
    const V inverse = Lanes::load(task.inverse), scale = Div(Lanes::set(1.0F), inverse);
    Lanes::store(inverse, task.bestInverse);
    Lanes::store(scale, task.scale);
    PlaceCodes<Lanes, Placing::Literally>(task, length, highest);
    Lanes::store(AffineError<Lanes, absolute>(task, length, scale, lowest), task.best);
    NextCandidate(task, lowest, firstNumerator);
}

// S3, for two tasks whose x and w are filled. The second is half a step behind the first: while the one divides, the
// other sums.
template<class Lanes, bool absolute>
HWY_INLINE void FitAffine(
    AffineTask<Lanes>& one, AffineTask<Lanes>& two, std::size_t length, float highest, const ggml::AffineSearch& search)
{
    const auto numerator = [&](int k) { return search.first + search.step * static_cast<float>(k) + highest; };
    BeginAffineFit<Lanes, absolute>(one, length, highest, numerator(0));
    BeginAffineFit<Lanes, absolute>(two, length, highest, numerator(0));
    TryCandidate(two, length, highest);
    for (int k = 0; k <= search.steps; ++k) {
        TryCandidate(one, length, highest);
        JudgeCandidate<Lanes, absolute>(two, length, numerator(k + 1));
        JudgeCandidate<Lanes, absolute>(one, length, numerator(k + 1));
        if (k < search.steps)
            TryCandidate(two, length, highest);
    }
    for (AffineTask<Lanes>* task : {&one, &two}) {
        const auto flat = Le(Lanes::load(task->top), Lanes::load(task->lowest));
        Lanes::store(IfThenZeroElse(flat, Lanes::load(task->scale)), task->scale);
    }
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
        Lanes::store(RoundToByte(code), codes + i);
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
            Lanes::store(IfThenElse(better, RoundToByte(moved), code), codes + i);
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

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
