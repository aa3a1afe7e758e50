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

// Floats: what lies farther ahead would leave the second-level cache before it is worked on.
constexpr std::size_t farthestAhead = 32'768;

// One block, at `offset` of its stretch, whose units are alike.
template<bool floating, Clipping clipping, bool counting>
HWY_INLINE void addBlock(const float* stretch, std::size_t offset, std::size_t end, std::size_t ahead,
    const IntegerCodes& codes, const Units& units, float* columns, ErrorSlots* slots, StretchSums& sums)
{
    BlockSums block;
    std::size_t u = offset / units.length;
    for (std::size_t at = offset; at < end; ++u) {
        const std::size_t next = HWY_MIN((u + 1) * units.length, end);
        addSegment<floating, clipping, counting>(
            stretch + at, next - at, ahead, codes, units, u, block, columns + at, slots);
        at = next;
    }
    sums.add(Wide(), block.lanes);
    sums.add(One(), block.tail);
}

// All blocks of a stretch; where some units clip and some do not, each unit is a block of its own.
template<bool floating, Clipping clipping, bool counting>
StretchSums AddBlocks(const float* stretch, std::size_t count, std::size_t ahead, const IntegerCodes& codes,
    const Units& units, float* columns, ErrorSlots* slots)
{
    StretchSums sums;
    if (HWY_LIKELY(!units.anyClips)) {
        for (std::size_t offset = 0; offset < count; offset += blockLength)
            addBlock<floating, clipping, counting>(
                stretch, offset, HWY_MIN(offset + blockLength, count), ahead, codes, units, columns, slots, sums);
        return sums;
    }
    for (std::size_t offset = 0; offset < count;) {
        const std::size_t u = offset / units.length;
        const std::size_t end = HWY_MIN(HWY_MIN(offset + blockLength, (u + 1) * units.length), count);
        if (units.clips[u] != 0.0F)
            addBlock<floating, Clipping::Common, counting>(
                stretch, offset, end, ahead, codes, units, columns, slots, sums);
        else
            addBlock<floating, clipping, counting>(stretch, offset, end, ahead, codes, units, columns, slots, sums);
        offset = end;
    }
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
template<bool floating, Clipping clipping, bool counting>
bool AddStretch(const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile& profile, Units& units,
    double signal, std::size_t ahead, ErrorSlots* slots, ErrorSums& sums, std::uint64_t& clipped)
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
    if (!PrepareGrids(scheme, units))
        return false;
    const StretchSums made = AddBlocks<floating, clipping, counting>(
        run.weights, run.count, ahead, scheme.codes, units, profile.columnEnergies.data() + run.column, slots);
    clipped += static_cast<std::uint64_t>(made.clipped);
    // ŵ = w − e: as exact as its own sums wherever ŵ is anything like w. The root of a rounded square is the number
    // itself, exactly.
    const ErrorSums quick {.count = run.count,
        .signalEnergy = signal,
        .quantizedEnergy = signal - 2.0 * made.product + made.energy,
        .errorEnergy = made.energy,
        .dotProduct = signal - made.product,
        .errorSum = made.sum,
        .maxAbsError = static_cast<double>(std::sqrt(made.largest))};
    const bool good = isSafe(quick.errorEnergy) && 16.0 * quick.dotProduct >= signal
        && 16.0 * quick.quantizedEnergy >= signal && quick.quantizedEnergy <= 0x1p120;
    std::uint64_t counted = 0;
    sums += HWY_LIKELY(good) ? quick : addCarefully(run, scheme, nullptr, counted);
    return true;
}

template<bool floating, Clipping clipping, bool counting>
ErrorSums MeasureRows(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, ErrorSlots* slots, std::uint64_t& clipped)
{
    const auto& shape = scheme.shape;
    const std::size_t unitsAtATime = HWY_MAX(1, HWY_MIN(maxUnits, stretchLength / shape.length));
    Units units {};
    units.length = shape.length;
    const std::size_t stretch = unitsAtATime * shape.length;
    // The next stretch is fetched while one is measured; of units that are long, the next one.
    const std::size_t ahead = HWY_MAX(stretchLength + blockLength, HWY_MIN(shape.length, farthestAhead));
    ErrorSums total;
    for (std::size_t row = 0; row < rowCount; ++row) {
        ErrorSums sums;
        for (std::size_t start = 0; start < shape.columns; start += stretch) {
            const std::size_t count = HWY_MIN(stretch, shape.columns - start);
            const IntegerRun run {rows + row * shape.columns + start, row, start, count};
            units.count = (count + shape.length - 1) / shape.length;
            const double signal = FindRanges(run.weights, run.count, units);
            if (HWY_UNLIKELY(!(AddStretch<floating, clipping, counting>(
                    run, scheme, profile, units, signal, ahead, slots, sums, clipped))))
                sums += addCarefully(run, scheme, &profile, clipped);
        }
        profile.rowEnergies[row] = static_cast<float>(sums.errorEnergy);
        total += sums;
    }
    return total;
}

template<bool floating, Clipping clipping>
ErrorSums MeasureCounted(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    if (!profile.histogram)
        return MeasureRows<floating, clipping, false>(rows, rowCount, scheme, profile, nullptr, clipped);
    ErrorSlots slots(profile.bins, *profile.histogram);
    const ErrorSums sums = MeasureRows<floating, clipping, true>(rows, rowCount, scheme, profile, &slots, clipped);
    slots.finish();
    return sums;
}

ErrorSums Measure(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    if (scheme.codes.floatingMinimum)
        return MeasureCounted<true, Clipping::None>(rows, rowCount, scheme, profile, clipped);
    if (scheme.rule == IntegerRule::SymmetricFull)
        return MeasureCounted<false, Clipping::Extreme>(rows, rowCount, scheme, profile, clipped);
    return MeasureCounted<false, Clipping::None>(rows, rowCount, scheme, profile, clipped);
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
            histogramFill(std::span(errors).first(count), profile->bins, *profile->histogram);
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
            histogramFillReference(errors, profile.bins, *profile.histogram);
        const ErrorSums sums = errorSumsReference(weights, quantized);
        profile.rowEnergies[row] = static_cast<float>(sums.errorEnergy);
        total += sums;
    }
    return total;
}

}  // namespace quantloupe::kernels
#endif
