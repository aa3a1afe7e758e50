// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/fused_integer.h"

#include "core/kernels/ranges.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/fused_integer.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include "core/kernels/integer_units_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What to do where a unit has weights beyond its range.
enum class Clipping {
    None,    // there are none
    Rare,    // hurry, and look again where one shows: its error is large
    Common,  // be ready for one in every vector
};

// Sums over the lanes of a block. ŵ is in none of them: its sums follow from these.
template<class D>
struct BlockLanes {
    hn::Vec<D> product, energy, sum, largest, clipped;  // Σw·e, Σe², Σe, largest e²

    explicit BlockLanes(D d)
        : product(hn::Zero(d))
        , energy(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
        , clipped(hn::Zero(d))
    {
    }
};

// What every vector needs; the rest of a unit is read from memory where it is wanted.
template<class D>
struct UnitSteps {
    hn::Vec<D> scale, inverse, magic;

    UnitSteps(D d, const Units& units, std::size_t u)
        : scale(hn::Set(d, units.scale[u]))
        , inverse(hn::Set(d, units.inverse[u]))
        , magic(hn::LoadU(d, units.lanes.magic))
    {
    }
};

// One vector on its way: w, e, how far the quotient is from a whole number, and 1 where the weight was clipped.
template<class D>
struct Rounded {
    hn::Vec<D> weight, error, distance, moved;
};

// exact: by the definition's division.
template<bool floating, Clipping clipping, bool exact, class D, class V = hn::Vec<D>>
HWY_INLINE Rounded<D> roundVector(D d, V w, const UnitSteps<D>& steps, const UnitLanes& unit)
{
    constexpr bool counting = clipping == Clipping::Common || (clipping == Clipping::Rare && exact);
    const V x = floating ? hn::Sub(w, hn::LoadU(d, unit.minimum)) : w;
    Rounded<D> result;
    V step, ratio;
    if constexpr (counting || exact) {
        ratio = exact ? hn::Div(x, steps.scale) : hn::Mul(x, steps.inverse);
        step = hn::Sub(hn::Add(ratio, steps.magic), steps.magic);
    } else {
        step = hn::Sub(hn::MulAdd(x, steps.inverse, steps.magic), steps.magic);
    }
    if constexpr (clipping != Clipping::None) {
        const V inside = hn::Min(hn::Max(step, hn::LoadU(d, unit.lowest)), hn::LoadU(d, unit.highest));
        if constexpr (counting) {
            result.distance = hn::Abs(hn::Sub(ratio, step));
            result.moved = hn::IfThenElseZero(hn::Ne(step, inside), hn::Set(d, 1.0F));
        }
        step = inside;
    }
    const V value = hn::Mul(step, steps.scale);
    result.weight = w;
    result.error = hn::Sub(w, floating ? hn::Add(value, hn::LoadU(d, unit.minimum)) : value);
    return result;
}

// What four vectors add to the sums of a block, before it is known that their rounding is right.
template<class D>
struct FourLanes {
    hn::Vec<D> squares[4];
    hn::Vec<D> product, energy, sum, largest, distance, moved;
};

template<bool floating, Clipping clipping, bool keep, bool exact, class D>
HWY_INLINE FourLanes<D> roundFour(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, float* errors)
{
    const std::size_t n = hn::Lanes(d);
    const auto a = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w), steps, unit);
    const auto b = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + n), steps, unit);
    const auto c = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + 2 * n), steps, unit);
    const auto e = roundVector<floating, clipping, exact>(d, hn::LoadU(d, w + 3 * n), steps, unit);
    FourLanes<D> four;
    four.squares[0] = hn::Mul(a.error, a.error);
    four.squares[1] = hn::Mul(b.error, b.error);
    four.squares[2] = hn::Mul(c.error, c.error);
    four.squares[3] = hn::Mul(e.error, e.error);
    four.energy = hn::Add(hn::Add(four.squares[0], four.squares[1]), hn::Add(four.squares[2], four.squares[3]));
    four.largest = hn::Max(hn::Max(four.squares[0], four.squares[1]), hn::Max(four.squares[2], four.squares[3]));
    four.sum = hn::Add(hn::Add(a.error, b.error), hn::Add(c.error, e.error));
    four.product = hn::MulAdd(
        e.weight, e.error, hn::MulAdd(c.weight, c.error, hn::MulAdd(b.weight, b.error, hn::Mul(a.weight, a.error))));
    if constexpr (clipping == Clipping::Common)
        four.distance = hn::Max(hn::Max(a.distance, b.distance), hn::Max(c.distance, e.distance));
    if constexpr (clipping == Clipping::Common || (clipping == Clipping::Rare && exact))
        four.moved = hn::Add(hn::Add(a.moved, b.moved), hn::Add(c.moved, e.moved));
    if constexpr (keep) {
        hn::StoreU(a.error, d, errors);
        hn::StoreU(b.error, d, errors + n);
        hn::StoreU(c.error, d, errors + 2 * n);
        hn::StoreU(e.error, d, errors + 3 * n);
    }
    return four;
}

template<Clipping clipping, class D>
HWY_INLINE void addFour(D d, const FourLanes<D>& four, bool counted, BlockLanes<D>& lanes, float* columns)
{
    const std::size_t n = hn::Lanes(d);
    lanes.product = hn::Add(lanes.product, four.product);
    lanes.energy = hn::Add(lanes.energy, four.energy);
    lanes.sum = hn::Add(lanes.sum, four.sum);
    lanes.largest = hn::Max(lanes.largest, four.largest);
    if (counted)
        lanes.clipped = hn::Add(lanes.clipped, four.moved);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), four.squares[0]), d, columns);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + n), four.squares[1]), d, columns + n);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + 2 * n), four.squares[2]), d, columns + 2 * n);
    hn::StoreU(hn::Add(hn::LoadU(d, columns + 3 * n), four.squares[3]), d, columns + 3 * n);
}

// Four vectors by division.
template<bool floating, Clipping clipping, bool keep, class D>
HWY_NOINLINE void addAgain(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, BlockLanes<D>& lanes,
    float* columns, float* errors)
{
    addFour<clipping>(d, roundFour<floating, clipping, keep, true>(d, w, steps, unit, errors),
        clipping != Clipping::None, lanes, columns);
}

// One vector, by division at once.
template<bool floating, Clipping clipping, bool keep, class D>
HWY_INLINE void addOne(D d, const float* w, const UnitSteps<D>& steps, const UnitLanes& unit, BlockLanes<D>& lanes,
    float* columns, float* errors)
{
    const auto a = roundVector<floating, clipping, true>(d, hn::LoadU(d, w), steps, unit);
    if constexpr (clipping != Clipping::None)
        lanes.clipped = hn::Add(lanes.clipped, a.moved);
    const auto square = hn::Mul(a.error, a.error);
    lanes.product = hn::MulAdd(a.weight, a.error, lanes.product);
    lanes.energy = hn::Add(lanes.energy, square);
    lanes.sum = hn::Add(lanes.sum, a.error);
    lanes.largest = hn::Max(lanes.largest, square);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), square), d, columns);
    if constexpr (keep)
        hn::StoreU(a.error, d, errors);
}

template<bool floating, Clipping clipping, bool keep>
HWY_INLINE void addSegment(const float* w, std::size_t count, const IntegerCodes& codes, Units& units, std::size_t u,
    BlockLanes<Wide>& block, BlockLanes<One>& tail, float* columns, float* errors)
{
    const Wide d;
    const std::size_t n = hn::Lanes(d);
    units.lanes.fill(codes, units.zero[u], units.limit[u], floating, clipping != Clipping::None);
    const UnitLanes& unit = units.lanes;
    const UnitSteps<Wide> steps(d, units, u);
    BlockLanes<Wide> lanes = block;
    std::size_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        hwy::Prefetch(w + i + prefetchDistance);
        hwy::Prefetch(w + i + 2 * n + prefetchDistance);
        const auto four = roundFour<floating, clipping, keep, false>(d, w + i, steps, unit, errors + i);
        bool sure;
        if constexpr (clipping == Clipping::Common)
            sure = hn::AllTrue(d, hn::Le(four.distance, hn::LoadU(d, unit.margin)));
        else
            sure = hn::AllTrue(d, hn::Le(four.largest, hn::LoadU(d, unit.limit)));
        if (HWY_LIKELY(sure)) {
            addFour<clipping>(d, four, clipping == Clipping::Common, lanes, columns + i);
        } else {
            BlockLanes<Wide> again = lanes;
            addAgain<floating, clipping, keep>(d, w + i, steps, unit, again, columns + i, errors + i);
            lanes = again;
        }
    }
    for (; i + n <= count; i += n)
        addOne<floating, clipping, keep>(d, w + i, steps, unit, lanes, columns + i, errors + i);
    block = lanes;
    if (i < count) {
        const One one;
        const UnitSteps<One> single(one, units, u);
        for (; i < count; ++i)
            addOne<floating, clipping, keep>(one, w + i, single, unit, tail, columns + i, errors + i);
    }
}

// Σw·e goes where Σw·ŵ is wanted.
template<class D>
HWY_INLINE void addTo(D d, const BlockLanes<D>& lanes, ErrorSums& sums, std::uint64_t& clipped)
{
    const auto total = [d](hn::Vec<D> v) HWY_ATTR { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
    sums.dotProduct += total(lanes.product);
    sums.errorEnergy += total(lanes.energy);
    sums.errorSum += total(lanes.sum);
    // The root of a rounded square is the number itself, exactly.
    const double largest = static_cast<double>(std::sqrt(hn::GetLane(hn::MaxOfLanes(d, lanes.largest))));
    sums.maxAbsError = HWY_MAX(sums.maxAbsError, largest);
    clipped += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, lanes.clipped)));
}

// One block, at `offset` of its stretch. Its dotProduct is Σw·e.
template<bool floating, Clipping clipping, bool keep>
ErrorSums AddBlock(const float* stretch, std::size_t offset, std::size_t count, const IntegerCodes& codes, Units& units,
    float* columns, float* errors, std::uint64_t& clipped)
{
    const Wide d;
    const One one;
    BlockLanes<Wide> lanes(d);
    BlockLanes<One> tail(one);
    const std::size_t end = offset + count;
    std::size_t u = offset / units.length;
    for (std::size_t at = offset; at < end; ++u) {
        const std::size_t next = HWY_MIN((u + 1) * units.length, end);
        float* kept = errors + (at - offset);
        if (units.clips[u] != 0.0F)
            addSegment<floating, clipping, keep>(
                stretch + at, next - at, codes, units, u, lanes, tail, columns + at, kept);
        else
            addSegment<floating, Clipping::None, keep>(
                stretch + at, next - at, codes, units, u, lanes, tail, columns + at, kept);
        at = next;
    }
    ErrorSums sums {count};
    addTo(d, lanes, sums, clipped);
    addTo(one, tail, sums, clipped);
    return sums;
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters. Not where
// a weight is not finite.
inline bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

// Whole units of one row. False, and nothing done, where only the definition itself will do.
template<bool floating, Clipping clipping, bool keep>
bool AddStretch(const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile& profile, Units& units,
    ErrorSums& sums, std::uint64_t& clipped)
{
    const double signal = FindRanges(run.weights, run.count, units);
    if (!isSafe(signal))
        return false;
    if (scheme.rule == IntegerRule::Given) {
        const UnitGrid* grids = scheme.shape.shared
            ? scheme.grids.data()
            : scheme.grids.data() + run.row * scheme.shape.unitsPerRow() + run.column / scheme.shape.length;
        for (std::size_t u = 0; u < units.count; ++u) {
            units.scale[u] = grids[u].scale;
            units.zero[u] = grids[u].zero;
        }
    } else if (!MakeGrids(scheme, units)) {
        return false;
    }
    if (!PrepareGrids(scheme.codes, units))
        return false;
    ErrorSums quick;
    HWY_ALIGN float errors[blockLength];
    for (std::size_t offset = 0; offset < run.count; offset += blockLength) {
        const std::size_t count = HWY_MIN(blockLength, run.count - offset);
        float* columns = profile.columnEnergies.data() + run.column;
        const ErrorSums block = AddBlock<floating, clipping, keep>(
            run.weights, offset, count, scheme.codes, units, columns, errors, clipped);
        if constexpr (keep) {
            // Squares of tiny errors may have become 0, and with them the bound.
            const bool bounded = block.maxAbsError >= 0x1p-50;
            profile.histogram->add({errors, count},
                bounded ? static_cast<float>(block.maxAbsError) : std::numeric_limits<float>::infinity());
        }
        quick += block;
    }
    // ŵ = w − e: as exact as its own sums wherever ŵ is anything like w.
    quick.signalEnergy = signal;
    quick.quantizedEnergy = signal - 2.0 * quick.dotProduct + quick.errorEnergy;
    quick.dotProduct = signal - quick.dotProduct;
    const bool good = isSafe(quick.errorEnergy) && 16.0 * quick.dotProduct >= signal
        && 16.0 * quick.quantizedEnergy >= signal && quick.quantizedEnergy <= 0x1p120;
    std::uint64_t counted = 0;
    sums += HWY_LIKELY(good) ? quick : addCarefully(run, scheme, nullptr, counted);
    return true;
}

template<bool floating, Clipping clipping, bool keep>
ErrorSums MeasureRows(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    const auto& shape = scheme.shape;
    const std::size_t unitsAtATime = HWY_MAX(1, HWY_MIN(maxUnits, blockLength / shape.length));
    Units units {};
    units.length = shape.length;
    hn::Store(hn::Set(Wide(), 12582912.0F), Wide(), units.lanes.magic);
    const std::size_t stretch = unitsAtATime * shape.length;
    ErrorSums total;
    for (std::size_t row = 0; row < rowCount; ++row) {
        ErrorSums sums;
        for (std::size_t start = 0; start < shape.columns; start += stretch) {
            const std::size_t count = HWY_MIN(stretch, shape.columns - start);
            units.count = (count + shape.length - 1) / shape.length;
            const IntegerRun run {rows + row * shape.columns + start, row, start, count};
            if (HWY_UNLIKELY(!(AddStretch<floating, clipping, keep>(run, scheme, profile, units, sums, clipped))))
                sums += addCarefully(run, scheme, &profile, clipped);
        }
        profile.rowEnergies[row] = static_cast<float>(sums.errorEnergy);
        total += sums;
    }
    return total;
}

template<bool floating, Clipping clipping>
ErrorSums MeasureKept(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    return profile.histogram ? MeasureRows<floating, clipping, true>(rows, rowCount, scheme, profile, clipped)
                             : MeasureRows<floating, clipping, false>(rows, rowCount, scheme, profile, clipped);
}

ErrorSums Measure(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    // A range from the smallest to the largest weight clips one now and then, where its ends are not on the grid.
    const bool rare = scheme.rule != IntegerRule::Given;
    if (scheme.codes.floatingMinimum)
        return rare ? MeasureKept<true, Clipping::Rare>(rows, rowCount, scheme, profile, clipped)
                    : MeasureKept<true, Clipping::Common>(rows, rowCount, scheme, profile, clipped);
    return rare ? MeasureKept<false, Clipping::Rare>(rows, rowCount, scheme, profile, clipped)
                : MeasureKept<false, Clipping::Common>(rows, rowCount, scheme, profile, clipped);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Measure);

namespace {

UnitGrid gridOfUnit(std::span<const float> unit, std::size_t row, std::size_t column, const IntegerScheme& scheme)
{
    if (scheme.rule == IntegerRule::Given)
        return scheme.shape.shared ? scheme.grids[0]
                                   : scheme.grids[row * scheme.shape.unitsPerRow() + column / scheme.shape.length];
    const FiniteRange range = rangeOfReference(unit);
    return range.empty() ? integerGrid(scheme.rule, scheme.codes, 0.0F, 0.0F)
                         : integerGrid(scheme.rule, scheme.codes, range.minimum, range.maximum);
}

}  // namespace

ErrorSums addCarefully(
    const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile* profile, std::uint64_t& clipped)
{
    constexpr std::size_t length = 1'024;
    std::array<float, length> quantized, errors;
    std::array<float, length> ignored {};
    const auto& shape = scheme.shape;
    ErrorSums sums;
    for (std::size_t column = run.column; column < run.column + run.count;) {
        const std::size_t unitStart = column / shape.length * shape.length;
        const std::size_t unitEnd = std::min(unitStart + shape.length, shape.columns);
        const float* row = run.weights - run.column;
        const UnitGrid grid = gridOfUnit({row + unitStart, unitEnd - unitStart}, run.row, unitStart, scheme);
        const std::size_t count = std::min({length, unitEnd - column, run.column + run.count - column});
        const std::span<const float> weights(row + column, count);
        clipped += integerFakeQuantize(weights, {count, count, true}, {&grid, 1}, scheme.codes, quantized);
        const auto columns = profile ? profile->columnEnergies.subspan(column, count) : std::span(ignored).first(count);
        sums += errorProfile(weights, std::span(quantized).first(count), columns, std::span(errors).first(count));
        if (profile && profile->histogram)
            profile->histogram->add(std::span(errors).first(count), std::numeric_limits<float>::infinity());
        column += count;
    }
    return sums;
}

ErrorSums integerErrors(std::span<const float> rows, const IntegerScheme& scheme, const IntegerErrorProfile& profile,
    std::uint64_t& clipped)
{
    return HWY_DYNAMIC_DISPATCH(Measure)(rows.data(), scheme.shape.rows(rows.size()), scheme, profile, clipped);
}

ErrorSums integerErrorsReference(std::span<const float> rows, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    const auto& shape = scheme.shape;
    std::vector<float> quantized(shape.columns), errors(shape.columns);
    ErrorSums total;
    for (std::size_t row = 0; row < shape.rows(rows.size()); ++row) {
        const auto weights = rows.subspan(row * shape.columns, shape.columns);
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const auto unit = weights.subspan(start, std::min(shape.length, shape.columns - start));
            const UnitGrid grid = gridOfUnit(unit, row, start, scheme);
            clipped += integerFakeQuantizeReference(unit, {unit.size(), unit.size(), true}, {&grid, 1}, scheme.codes,
                std::span(quantized).subspan(start, unit.size()));
        }
        for (std::size_t i = 0; i < shape.columns; ++i) {
            errors[i] = std::isfinite(weights[i]) ? weights[i] - quantized[i] : std::numeric_limits<float>::quiet_NaN();
            profile.columnEnergies[i] += std::isfinite(weights[i]) ? errors[i] * errors[i] : 0.0F;
        }
        if (profile.histogram)
            profile.histogram->add(errors, std::numeric_limits<float>::infinity());
        const ErrorSums sums = errorSumsReference(weights, quantized);
        profile.rowEnergies[row] = static_cast<float>(sums.errorEnergy);
        total += sums;
    }
    return total;
}

}  // namespace quantloupe::kernels
#endif
