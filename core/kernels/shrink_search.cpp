// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/shrink_search.h"

#include "core/kernels/power_error.h"
#include "core/kernels/ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/shrink_search.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/integer_units_inl.h"
#include "core/kernels/power_inl.h"

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
        , magic(hn::Set(d, 12582912.0F))
    {
        const auto zero = hn::Set(d, codes.floatingMinimum ? 0.0F : grid.zero);
        lowest = hn::Sub(hn::Set(d, codes.lowest), zero);
        highest = hn::Sub(hn::Set(d, codes.highest), zero);
    }
};

// (|w − ŵ|·factor)^2.4, 0 where w is not finite. Clamped before it is rounded: the ends are whole.
template<bool floating, class D, class V = hn::Vec<D>>
HWY_INLINE V costOf(D d, const float* weights, const Candidate<D>& of)
{
    const V w = hn::LoadU(d, weights);
    const V number = hn::IfThenElseZero(hn::Eq(w, w), w);
    const V ratio = hn::Div(floating ? hn::Sub(number, of.minimum) : number, of.scale);
    const V inside = hn::Min(hn::Max(ratio, of.lowest), of.highest);
    const V step = hn::Sub(hn::Add(inside, of.magic), of.magic);
    const V value = hn::Mul(step, of.scale);
    const V error = hn::Abs(hn::Sub(w, floating ? hn::Add(value, of.minimum) : value));
    const auto finite = hn::Le(hn::Abs(w), hn::Set(d, std::numeric_limits<float>::max()));
    return powerOf(d, hn::IfThenElseZero(finite, hn::Mul(error, of.factor)));
}

// The cost of a unit under a grid, or anything above `best` once it is certain to be.
template<bool floating>
double CostOfUnit(
    const float* weights, std::size_t count, const UnitGrid& grid, const IntegerCodes& codes, float factor, double best)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    const std::size_t n = hn::Lanes(d);
    const Candidate<hn::Simd<float, hn::MaxLanes(d), 0>> candidate(d, grid, codes, factor);
    // Lanes may be added in another order here than at the end: a little more than best is not certain yet.
    const double enough = best * (1.0 + 1e-5);
    double total = 0.0;
    std::size_t i = 0;
    while (i + n <= count) {
        const std::size_t end = HWY_MIN(count, i + blockLength);
        auto sum = hn::Zero(d);
        while (i + n <= end) {
            const std::size_t stop = HWY_MIN(end, i + 8 * n);
            for (; i + n <= stop; i += n)
                sum = hn::Add(sum, costOf<floating>(d, weights + i, candidate));
            if (total + static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum))) > enough)
                return std::numeric_limits<double>::infinity();
        }
        total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    }
    const Candidate<hn::Simd<float, 1, 0>> single(one, grid, codes, factor);
    for (; i < count; ++i)
        total += static_cast<double>(hn::GetLane(costOf<floating>(one, weights + i, single)));
    return total;
}

// A fifth power below that of CostOfUnit(), for an eighth of its work. Moments are log-convex in their order, hence
// Σe^2.4 ≥ (Σe²)^1.4 / (Σ|e|)^0.4. NaN, which bounds nothing, where a weight is not finite. Codes may be off by one
// beside a middle, where it hardly matters: the margin covers that, and float sums.
template<bool floating>
double BoundOfUnit(
    const float* HWY_RESTRICT weights, std::size_t count, const UnitGrid& grid, const IntegerCodes& codes, float factor)
{
    const hn::ScalableTag<float> d;
    const std::size_t n = hn::Lanes(d);
    const Candidate<hn::Simd<float, hn::MaxLanes(d), 0>> of(d, grid, codes, factor);
    const auto inverse = hn::Set(d, 1.0F / grid.scale);
    auto sum = hn::Zero(d), squares = sum, more = sum, moreSquares = sum;
    const auto errorAt = [&](std::size_t i) HWY_ATTR {
        const auto w = hn::LoadU(d, weights + i);
        const auto ratio = hn::Mul(floating ? hn::Sub(w, of.minimum) : w, inverse);
        const auto inside = hn::Min(hn::Max(ratio, of.lowest), of.highest);
        const auto value = hn::Mul(hn::Sub(hn::Add(inside, of.magic), of.magic), of.scale);
        return hn::Abs(hn::Sub(w, floating ? hn::Add(value, of.minimum) : value));
    };
    std::size_t i = 0;
    for (; i + 2 * n <= count; i += 2 * n) {
        const auto a = errorAt(i), b = errorAt(i + n);
        sum = hn::Add(sum, a);
        more = hn::Add(more, b);
        squares = hn::MulAdd(a, a, squares);
        moreSquares = hn::MulAdd(b, b, moreSquares);
    }
    const auto total = [&](auto v) HWY_ATTR { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
    const double scaling = static_cast<double>(factor);
    const double first = total(hn::Add(sum, more)) * scaling;
    const double second = total(hn::Add(squares, moreSquares)) * scaling * scaling;
    if (first == 0.0)
        return 0.0;
    const double cube = second * second * second;
    return 0.999 * cube * cube * second / (first * first);
}

// Grids of shrunk ranges, as integerGrid() makes them.
void GridsOfCandidates(const FiniteRange& range, IntegerRule rule, const IntegerCodes& codes, const float* shrinks,
    std::size_t candidates, UnitGrid* grids)
{
    Units units {};
    const IntegerScheme scheme {.codes = codes, .rule = rule};
    for (std::size_t first = 0; first < candidates; first += maxUnits) {
        units.count = HWY_MIN(maxUnits, candidates - first);
        for (std::size_t i = 0; i < units.count; ++i) {
            units.low[i] = shrinks[first + i] * range.minimum;
            units.high[i] = shrinks[first + i] * range.maximum;
        }
        const bool made = MakeGrids(scheme, units);
        for (std::size_t i = 0; i < units.count; ++i)
            grids[first + i] =
                made ? UnitGrid {units.scale[i], units.zero[i]} : integerGrid(rule, codes, units.low[i], units.high[i]);
    }
}

template<bool floating>
UnitGrid SearchUnit(const float* weights, std::size_t count, IntegerRule rule, const IntegerCodes& codes,
    const float* shrinks, std::size_t candidates)
{
    FiniteRange range = rangeOf({weights, count});
    const float absMax = range.absMax();
    if (range.empty())
        range = {0.0F, 0.0F};
    if (rule == IntegerRule::Symmetric)
        range = {-absMax, absMax};
    const float factor = powerErrorFactor(absMax);
    // Elsewhere float sums of squares bound nothing.
    const bool bounding = absMax >= 0x1p-40F && absMax <= 0x1p40F;
    UnitGrid grids[mostShrinkCandidates];
    double bounds[mostShrinkCandidates];
    GridsOfCandidates(range, rule, codes, shrinks, candidates, grids);
    std::size_t chosen = 0;
    double best =
        CostOfUnit<floating>(weights, count, grids[0], codes, factor, std::numeric_limits<double>::infinity());
    // An error that costs more than that, all by itself.
    const double farthest = 1.0001 * std::pow(best, 1.0 / 2.4) / static_cast<double>(factor);
    std::size_t tried = candidates, promising = 0;
    for (std::size_t i = 1; i < candidates; ++i) {
        // The weight farthest out is at least so far from the ends of the grid.
        const float zero = floating ? 0.0F : grids[i].zero, base = floating ? grids[i].zero : 0.0F;
        const float top = (codes.highest - zero) * grids[i].scale + base;
        const float bottom = (codes.lowest - zero) * grids[i].scale + base;
        const float beyond = HWY_MAX(range.maximum - top, bottom - range.minimum);
        const bool hopeless = bounding && static_cast<double>(beyond) > farthest;
        bounds[i] = hopeless ? std::numeric_limits<double>::infinity()
            : bounding       ? BoundOfUnit<floating>(weights, count, grids[i], codes, factor)
                             : 0.0;
        if (promising == 0 || bounds[i] < bounds[promising])
            promising = i;
    }
    // The most promising one first: it rules out most others.
    const auto attempt = [&](std::size_t i) HWY_ATTR {
        const double fifth = best * best * best * best * best;
        if (bounds[i] > fifth)
            return;
        const double cost = CostOfUnit<floating>(weights, count, grids[i], codes, factor, best);
        if (cost < best || (cost == best && i < chosen)) {
            best = cost;
            chosen = i;
        }
    };
    if (promising != 0)
        attempt(tried = promising);
    for (std::size_t i = 1; i < candidates; ++i)
        if (i != tried)
            attempt(i);
    return grids[chosen];
}

void Search(const float* rows, std::size_t rowCount, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, const float* shrinks, std::size_t candidates, UnitGrid* grids)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const float* unit = rows + row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            *grids++ = codes.floatingMinimum ? SearchUnit<true>(unit, count, rule, codes, shrinks, candidates)
                                             : SearchUnit<false>(unit, count, rule, codes, shrinks, candidates);
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
            if (rule == IntegerRule::Symmetric || range.empty())
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
