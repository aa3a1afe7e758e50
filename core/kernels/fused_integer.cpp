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
#include <hwy/highway.h>
#include "core/kernels/integer_lanes_inl.h"
#include "core/kernels/integer_units_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One block, at `offset` of its stretch; `look`: while the range of the next stretch is taken. Its dotProduct is Σw·e.
template<bool floating, Clipping clipping, bool keep, bool look>
ErrorSums AddBlock(const float* stretch, std::size_t offset, std::size_t count, const IntegerCodes& codes, Units& units,
    RangeAhead& ahead, float* columns, float* errors, std::uint64_t& clipped)
{
    const Wide d;
    const One one;
    BlockLanes<Wide> lanes(d);
    BlockLanes<One> tail(one);
    LookedAt<Wide> looked {lanes.sum, lanes.sum, lanes.sum};
    if constexpr (look) {
        looked.low = hn::Load(d, ahead.low);
        looked.high = hn::Load(d, ahead.high);
    }
    const std::size_t end = offset + count;
    std::size_t u = offset / units.length;
    for (std::size_t at = offset; at < end; ++u) {
        const std::size_t next = HWY_MIN((u + 1) * units.length, end);
        float* kept = errors + (at - offset);
        const float* other = look ? ahead.weights + at : nullptr;
        if (units.clips[u] != 0.0F)
            addSegment<floating, clipping, keep, look>(
                stretch + at, other, looked, next - at, codes, units, u, lanes, tail, columns + at, kept);
        else
            addSegment<floating, Clipping::None, keep, look>(
                stretch + at, other, looked, next - at, codes, units, u, lanes, tail, columns + at, kept);
        at = next;
    }
    if constexpr (look) {
        hn::Store(looked.low, d, ahead.low);
        hn::Store(looked.high, d, ahead.high);
        ahead.signal += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, looked.signal)));
    }
    ErrorSums sums {count};
    addTo(d, lanes, sums, clipped);
    if (count % wideLanes != 0 || units.length % wideLanes != 0)
        addTo(one, tail, sums, clipped);
    return sums;
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters. Not where
// a weight is not finite.
inline bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

// Whole units of one row, whose ranges and Σw² are known. False, and nothing done, where only the definition itself
// will do.
template<bool floating, Clipping clipping, bool keep>
bool AddStretch(const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile& profile, Units& units,
    double signal, RangeAhead& ahead, ErrorSums& sums, std::uint64_t& clipped)
{
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
        const ErrorSums block = ahead.weights ? AddBlock<floating, clipping, keep, wideLanes == 8>(
                                    run.weights, offset, count, scheme.codes, units, ahead, columns, errors, clipped)
                                              : AddBlock<floating, clipping, keep, false>(run.weights, offset, count,
                                                  scheme.codes, units, ahead, columns, errors, clipped);
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
    RangeAhead ahead {};
    const float* const end = rows + rowCount * shape.columns;
    const std::size_t stretch = unitsAtATime * shape.length;
    const auto countAt = [&](std::size_t start) { return HWY_MIN(stretch, shape.columns - start); };
    bool known = false;  // whether the range was taken ahead
    ErrorSums total;
    for (std::size_t row = 0; row < rowCount; ++row) {
        ErrorSums sums;
        for (std::size_t start = 0; start < shape.columns; start += stretch) {
            const std::size_t count = countAt(start);
            const IntegerRun run {rows + row * shape.columns + start, row, start, count};
            units.count = (count + shape.length - 1) / shape.length;
            const double signal = known ? ahead.settle(units) : FindRanges(run.weights, run.count, units);
            const float* next = run.weights + count;
            const std::size_t nextCount = next == end ? 0 : countAt(start + count == shape.columns ? 0 : start + count);
            known = nextCount == count && RangeAhead::canTake(units, count);
            ahead.begin(known ? next : nullptr);
            if (HWY_UNLIKELY(!(
                    AddStretch<floating, clipping, keep>(run, scheme, profile, units, signal, ahead, sums, clipped)))) {
                sums += addCarefully(run, scheme, &profile, clipped);
                known = false;
            }
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
