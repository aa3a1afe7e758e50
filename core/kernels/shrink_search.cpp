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
#include "core/kernels/power-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// As in power_error.cpp: lanes are summed in float over so many weights.
constexpr std::size_t blockLength = 1'024;

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
    const hn::CappedTag<float, 1> one;
    UnitGrid chosen;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < candidates; ++i) {
        const UnitGrid grid = integerGrid(rule, codes, shrinks[i] * range.minimum, shrinks[i] * range.maximum);
        if (i != 0) {
            // The weight farthest out is at least so far from the ends of the grid.
            const float zero = codes.floatingMinimum ? 0.0F : grid.zero;
            const float base = codes.floatingMinimum ? grid.zero : 0.0F;
            const float top = (codes.highest - zero) * grid.scale + base;
            const float bottom = (codes.lowest - zero) * grid.scale + base;
            const float beyond = 0.99999F * HWY_MAX(HWY_MAX(range.maximum - top, bottom - range.minimum), 0.0F);
            if (static_cast<double>(hn::GetLane(powerOf(one, hn::Set(one, beyond * factor)))) * 0.9999 > best)
                continue;
        }
        const double cost = CostOfUnit<floating>(weights, count, grid, codes, factor, best);
        if (i == 0 || cost < best) {
            best = cost;
            chosen = grid;
        }
    }
    return chosen;
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
