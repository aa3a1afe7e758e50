// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/shrink_search.h"

#include "core/kernels/power_error.h"
#include "core/kernels/ranges.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/shrink_search.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/integer_units_inl.h"
#include "core/kernels/power_inl.h"
#include "core/kernels/shrink_bounds_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What a candidate needs, spread over the lanes. Steps count from the zero point.
template<class D>
struct Candidate {
    hn::Vec<D> scale, minimum, lowest, highest, factor, magic;

    Candidate(D d, const UnitGrid& grid, const IntegerCodes& codes, float scaling)
        : scale(hn::Set(d, grid.scale))
        , minimum(hn::Set(d, codes.floatingMinimum ? grid.zero : 0.0F))
        , factor(hn::Set(d, scaling))
        , magic(hn::Set(d, roundingSum))
    {
        const auto zero = hn::Set(d, codes.floatingMinimum ? 0.0F : grid.zero);
        lowest = hn::Sub(hn::Set(d, codes.lowest), zero);
        highest = hn::Sub(hn::Set(d, codes.highest), zero);
    }
};

// (|w − ŵ|·factor)^2.4, 0 where w is not finite. Clamped before it is rounded: the ends are whole.
template<bool floating, bool finite, class D, class V = hn::Vec<D>>
HWY_INLINE V costOf(D d, const float* weights, const Candidate<D>& of)
{
    const V w = hn::LoadU(d, weights);
    const V number = finite ? w : hn::IfThenElseZero(hn::Eq(w, w), w);
    const V ratio = hn::Div(floating ? hn::Sub(number, of.minimum) : number, of.scale);
    const V inside = hn::Min(hn::Max(ratio, of.lowest), of.highest);
    const V step = hn::Sub(hn::Add(inside, of.magic), of.magic);
    const V value = hn::Mul(step, of.scale);
    const V error = hn::Abs(hn::Sub(w, floating ? hn::Add(value, of.minimum) : value));
    if constexpr (finite)
        return powerOf(d, hn::Mul(error, of.factor));
    const auto counts = hn::Le(hn::Abs(w), hn::Set(d, std::numeric_limits<float>::max()));
    return powerOf(d, hn::IfThenElseZero(counts, hn::Mul(error, of.factor)));
}

// Costs of a unit under one grid or two, or anything above `best` once all are certain to be.
template<bool floating, bool finite, std::size_t grids>
std::array<double, grids> CostsOfUnit(const float* HWY_RESTRICT weights, std::size_t count,
    const std::array<UnitGrid, grids>& of, const IntegerCodes& codes, float factor, double best)
{
    static_assert(grids == 1 || grids == 2);
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    constexpr std::size_t n = hn::MaxLanes(d);
    using All = Candidate<hn::Simd<float, n, 0>>;
    const All a(d, of.front(), codes, factor), b(d, of.back(), codes, factor);
    std::array<double, grids> totals {};
    std::size_t i = 0;
    while (i + n <= count) {
        const std::size_t end = HWY_MIN(count, i + blockLength);
        auto sumA = hn::Zero(d), sumB = sumA;
        for (; i + n <= end; i += n) {
            sumA = hn::Add(sumA, costOf<floating, finite>(d, weights + i, a));
            if constexpr (grids > 1)
                sumB = hn::Add(sumB, costOf<floating, finite>(d, weights + i, b));
        }
        totals.front() += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sumA)));
        if constexpr (grids > 1)
            totals.back() += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sumB)));
        if (*std::min_element(totals.begin(), totals.end()) > best)
            return totals;
    }
    using Single = Candidate<hn::Simd<float, 1, 0>>;
    for (; i < count; ++i)
        for (std::size_t k = 0; k < grids; ++k)
            totals[k] += static_cast<double>(
                hn::GetLane(costOf<floating, finite>(one, weights + i, Single(one, of[k], codes, factor))));
    return totals;
}

// Grids of a block of shrunk ranges, as integerGrid() makes them; beyond the last, that of the last. False where
// nothing can be said of their costs but by trying.
bool GridsOfBlock(IntegerRule rule, const IntegerCodes& codes, std::size_t first, Candidates& candidates)
{
    const Wide d;
    const IntegerScheme scheme {.codes = codes, .rule = rule};
    Units units;  // of which only what is set here matters
    units.count = candidateBlock;
    const auto shrink = hn::LoadU(d, candidates.shrink + first);
    hn::StoreU(hn::Mul(shrink, hn::Set(d, candidates.low)), d, units.low);
    hn::StoreU(hn::Mul(shrink, hn::Set(d, candidates.high)), d, units.high);
    if (makeGrids(scheme, units)) {
        std::copy_n(units.scale, candidateBlock, candidates.scale + first);
        std::copy_n(units.zero, candidateBlock, candidates.zero + first);
        return true;
    }
    for (std::size_t i = 0; i < candidateBlock; ++i) {
        const UnitGrid grid = integerGrid(rule, codes, units.low[i], units.high[i]);
        candidates.scale[first + i] = grid.scale;
        candidates.zero[first + i] = grid.zero;
    }
    return false;
}

// As far out as a grid of this candidate or a later one reaches.
Ends endsFrom(IntegerRule rule, const IntegerCodes& codes, std::size_t candidate, const Candidates& candidates)
{
    const float scale = candidates.scale[candidate];
    if (rule == IntegerRule::Symmetric || rule == IntegerRule::SymmetricFull) {
        const float zero = candidates.zero[candidate];
        return {(codes.lowest - zero) * scale, (codes.highest - zero) * scale};
    }
    // A zero point moves a grid by half a step, a range on one side of 0 moves towards it.
    const float rest = rule == IntegerRule::Asymmetric ? 0.5F * scale : 0.0F;
    const float shrink = candidates.shrink[candidate], least = candidates.shrink[candidates.count - 1];
    return {HWY_MIN(shrink * candidates.low, least * candidates.low) - rest,
        HWY_MAX(shrink * candidates.high, least * candidates.high) + rest};
}

// Bounds the candidates until all that are left clip too much. Returns how many it bounded; `limit`: the least upper
// bound. Where sums of powers bound nothing, there is no limit.
template<Sides sides>
std::size_t boundCandidates(const float* weights, std::size_t count, IntegerRule rule, const IntegerCodes& codes,
    Candidates& candidates, float& limit)
{
    bool bounding = candidates.absMax >= 0x1p-40F && candidates.absMax <= 0x1p40F;
    for (std::size_t first = 0; first < candidates.count; first += candidateBlock) {
        bounding = GridsOfBlock(rule, codes, first, candidates) && bounding;
        if (!bounding) {
            std::fill_n(candidates.lower + first, candidateBlock, 0.0F);
            limit = std::numeric_limits<float>::infinity();
            continue;
        }
        if (first != 0
            && clipTooMuch<sides>(weights, count, candidates, endsFrom(rule, codes, first, candidates), limit))
            return first;
        BoundBlock<sides>(weights, count, codes, first, candidates);
        for (std::size_t i = first; i < first + candidateBlock; ++i)
            limit = candidates.upper[i] < limit ? candidates.upper[i] : limit;
    }
    return candidates.count;
}

// Those of the first `bounded` candidates that may be the best; what fills their last block up is the last candidate
// again, and costs the same.
struct Promising {
    std::uint8_t candidates[Candidates::padded];
    std::size_t count = 0;
};

Promising promisingOf(const Candidates& candidates, std::size_t bounded, float limit)
{
    const Wide d;
    Promising promising;
    const auto most = hn::Set(d, limit);
    for (std::size_t first = 0; first < bounded; first += candidateBlock) {
        std::uint8_t bits[8] {};
        hn::StoreMaskBits(d, hn::Le(hn::LoadU(d, candidates.lower + first), most), bits);
        std::uint64_t left = 0;
        std::memcpy(&left, bits, sizeof left);
        for (; left != 0; left &= left - 1)
            promising.candidates[promising.count++] =
                static_cast<std::uint8_t>(first + hwy::Num0BitsBelowLS1Bit_Nonzero64(left));
    }
    return promising;
}

// Tries the promising candidates, those first whose lower bounds are least: the first of the least costs. By twos, for
// one waits for its own results most of the time; long units singly, which are given up half way.
template<bool floating, bool finite>
std::size_t cheapestOf(const float* weights, std::size_t count, const IntegerCodes& codes, const Candidates& candidates,
    std::size_t bounded, float limit)
{
    Promising promising = promisingOf(candidates, bounded, limit);
    if (promising.count == 1)
        return promising.candidates[0];
    const float factor = powerErrorFactor(candidates.absMax);
    const double unit = std::pow(static_cast<double>(candidates.scale[0]) * static_cast<double>(factor), -2.4)
        / static_cast<double>(count);
    double best = std::numeric_limits<double>::infinity(), enough = static_cast<double>(limit);
    std::size_t chosen = bounded;  // none yet
    const auto consider = [&](std::size_t candidate, double cost) {
        if (chosen != bounded && !(cost < best || (cost == best && candidate < chosen)))
            return;
        best = cost;
        chosen = candidate;
        enough = HWY_MIN(enough, (1.0 + 1e-6) * unit * cost);
    };
    // Takes the one with the least bound out of the list.
    const auto next = [&] {
        std::size_t least = 0;
        for (std::size_t i = 1; i < promising.count; ++i)
            if (candidates.lower[promising.candidates[i]] < candidates.lower[promising.candidates[least]])
                least = i;
        const std::size_t candidate = promising.candidates[least];
        promising.candidates[least] = promising.candidates[--promising.count];
        return candidate;
    };
    while (promising.count != 0) {
        const std::size_t a = next();
        if (static_cast<double>(candidates.lower[a]) > enough)
            break;
        const UnitGrid grid {candidates.scale[a], candidates.zero[a]};
        if (count > blockLength || promising.count == 0) {
            consider(a, CostsOfUnit<floating, finite, 1>(weights, count, {grid}, codes, factor, best)[0]);
            continue;
        }
        const std::size_t b = next();
        const auto costs = CostsOfUnit<floating, finite, 2>(
            weights, count, {grid, UnitGrid {candidates.scale[b], candidates.zero[b]}}, codes, factor, best);
        consider(a, costs[0]);
        consider(b, costs[1]);
    }
    return chosen;
}

template<bool floating>
UnitGrid SearchUnit(
    const float* weights, std::size_t count, IntegerRule rule, const IntegerCodes& codes, Candidates& candidates)
{
    FiniteRange range = rangeOf({weights, count});
    const float absMax = range.absMax();
    if (range.empty())
        range = {0.0F, 0.0F};
    if (rule == IntegerRule::Symmetric)
        range = {-absMax, absMax};
    candidates.low = range.minimum;
    candidates.high = range.maximum;
    candidates.absMax = absMax;
    constexpr auto bound = floating ? boundCandidates<Sides::Floating> : boundCandidates<Sides::Both>;
    const bool folded = rule == IntegerRule::Symmetric;
    float limit = std::numeric_limits<float>::infinity();
    const std::size_t bounded =
        (folded ? boundCandidates<Sides::Folded> : bound)(weights, count, rule, codes, candidates, limit);
    // There is no limit where a weight is not finite.
    const std::size_t chosen = limit < std::numeric_limits<float>::infinity()
        ? cheapestOf<floating, true>(weights, count, codes, candidates, bounded, limit)
        : cheapestOf<floating, false>(weights, count, codes, candidates, bounded, limit);
    return {candidates.scale[chosen], candidates.zero[chosen]};
}

void Search(const float* rows, std::size_t rowCount, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, const float* shrinks, std::size_t candidates, UnitGrid* grids)
{
    Candidates state;
    state.count = candidates;
    std::copy_n(shrinks, candidates, state.shrink);
    std::fill(state.shrink + candidates, std::end(state.shrink), shrinks[candidates - 1]);
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const float* unit = rows + row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            *grids++ = codes.floatingMinimum ? SearchUnit<true>(unit, count, rule, codes, state)
                                             : SearchUnit<false>(unit, count, rule, codes, state);
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Search);

void integerShrinkSearch(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids)
{
    HWY_DYNAMIC_DISPATCH(Search)
    (rows.data(), shape.rows(rows.size()), shape, rule, codes, shrinks.data(), shrinks.size(), grids.data());
}

void integerShrinkSearchReference(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids)
{
    std::vector<float> quantized(shape.length);
    auto grid = grids.begin();
    for (std::size_t row = 0; row < shape.rows(rows.size()); ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length, ++grid) {
            const auto unit = rows.subspan(row * shape.columns + start, std::min(shape.length, shape.columns - start));
            const UnitShape whole {unit.size(), unit.size(), true};
            FiniteRange range = rangeOfReference(unit);
            const float factor = powerErrorFactor(range.absMax());
            if (range.empty())
                range = {0.0F, 0.0F};
            else if (rule == IntegerRule::Symmetric)
                range = {-range.absMax(), range.absMax()};
            double best = std::numeric_limits<double>::infinity();
            for (std::size_t i = 0; i < shrinks.size(); ++i) {
                const UnitGrid candidate =
                    integerGrid(rule, codes, shrinks[i] * range.minimum, shrinks[i] * range.maximum);
                integerFakeQuantize(unit, whole, {&candidate, 1}, codes, quantized);
                double cost = 0.0;
                powerErrorsOfUnits(unit, quantized, whole, {&factor, 1}, {&cost, 1});
                if (i == 0 || cost < best) {
                    best = cost;
                    *grid = candidate;
                }
            }
        }
}

}  // namespace quantloupe::kernels
#endif
