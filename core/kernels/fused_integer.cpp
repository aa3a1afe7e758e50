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
#include "core/kernels/integer_stretch_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The first ahead.found units, in the longest segments that divide one.
template<bool floating, Clipping clipping, bool counting>
void addFound(const StretchWork& work, UnitsAhead& ahead, StretchSums& sums)
{
    const std::size_t length = work.units.length;
    if (length % longestSegment == 0)
        addWholeSegments<longestSegment, floating, clipping, counting>(work, ahead, sums);
    else if (length % 128 == 0)
        addWholeSegments<128, floating, clipping, counting>(work, ahead, sums);
    else if (length % 64 == 0)
        addWholeSegments<64, floating, clipping, counting>(work, ahead, sums);
    else
        addWholeSegments<shortestSegment, floating, clipping, counting>(work, ahead, sums);
}

// All units of a stretch; where some clip and some do not, each is measured by itself.
template<bool floating, Clipping clipping, bool counting>
StretchSums AddUnits(const StretchWork& work, std::size_t count, UnitsAhead& ahead)
{
    StretchSums sums;
    const Units& units = work.units;
    if (HWY_LIKELY(!units.anyClips)) {
        if constexpr (wideLanes == 8) {  // else there are none
            if (ahead.found > 0)
                addFound<floating, clipping, counting>(work, ahead, sums);
        }
        if (const std::size_t whole = ahead.found * units.length; whole < count)
            addUnits<floating, clipping, counting>(work, whole, count, sums);
        return sums;
    }
    ahead.found = 0;
    for (std::size_t u = 0; u < units.count; ++u) {
        const std::size_t begin = u * units.length, end = HWY_MIN(begin + units.length, count);
        if (units.clips[u] != 0.0F)
            addUnits<floating, Clipping::Common, counting>(work, begin, end, sums);
        else
            addUnits<floating, clipping, counting>(work, begin, end, sums);
    }
    return sums;
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters. Not where
// a weight is not finite.
inline bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

// Whole units of one row on their way.
struct Stretch {
    IntegerRun run {};
    Units units;
    double signal = 0.0;  // Σw²
    bool prepared = false;
};

// Makes the grids of units whose ranges and Σw² are known, unless only the definition itself will do.
void Prepare(const IntegerScheme& scheme, Stretch& stretch)
{
    Units& units = stretch.units;
    stretch.prepared = false;
    if (!isSafe(stretch.signal))
        return;
    if (scheme.rule == IntegerRule::Given) {
        const UnitGrid* grids = scheme.shape.shared ? scheme.grids.data()
                                                    : scheme.grids.data() + stretch.run.row * scheme.shape.unitsPerRow()
                + stretch.run.column / scheme.shape.length;
        for (std::size_t u = 0; u < units.count; ++u) {
            units.scale[u] = grids[u].scale;
            units.zero[u] = grids[u].zero;
        }
    } else if (!MakeGrids(scheme, units)) {
        return;
    }
    stretch.prepared = PrepareGrids(scheme, units);
}

template<bool floating, Clipping clipping, bool counting>
ErrorSums AddStretch(const Stretch& stretch, const IntegerScheme& scheme, const IntegerErrorProfile& profile,
    UnitsAhead& ahead, ErrorSlots* slots, std::uint64_t& clipped)
{
    const IntegerRun& run = stretch.run;
    if (HWY_UNLIKELY(!stretch.prepared)) {
        ahead.found = 0;
        return addCarefully(run, scheme, &profile, clipped);
    }
    const StretchSums made = AddUnits<floating, clipping, counting>(
        {run.weights, scheme.codes, stretch.units, profile.columnEnergies.data() + run.column, slots}, run.count,
        ahead);
    clipped += made.clipped;
    // ŵ = w − e: as exact as its own sums wherever ŵ is anything like w. The root of a rounded square is the number
    // itself, exactly.
    const double signal = stretch.signal;
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
    return HWY_LIKELY(good) ? quick : addCarefully(run, scheme, nullptr, counted);
}

// Stretches of whole units, row by row.
class Stretches
{
public:
    Stretches(const float* rows, std::size_t rowCount, const UnitShape& shape)
        : m_rows(rows)
        , m_rowCount(rowCount)
        , m_columns(shape.columns)
        , m_length(HWY_MAX(1, HWY_MIN(maxUnits, stretchLength / shape.length)) * shape.length)
    {
    }
    // False at the end.
    bool next(IntegerRun& run)
    {
        run = {};
        if (m_row == m_rowCount || m_columns == 0)
            return false;
        run = {m_rows + m_row * m_columns + m_column, m_row, m_column, HWY_MIN(m_length, m_columns - m_column)};
        m_column += run.count;
        if (m_column == m_columns) {
            m_column = 0;
            ++m_row;
        }
        return true;
    }

private:
    const float* m_rows;
    std::size_t m_rowCount, m_columns, m_length, m_row = 0, m_column = 0;
};

template<bool floating, Clipping clipping, bool counting>
ErrorSums MeasureRows(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, ErrorSlots* slots, std::uint64_t& clipped)
{
    const auto& shape = scheme.shape;
    const bool regular = wideLanes == 8 && shape.length % shortestSegment == 0 && shape.columns % shape.length == 0;
    Stretches stretches(rows, rowCount, shape);
    const auto begin = [&](Stretch& stretch) {
        const bool any = stretches.next(stretch.run);
        stretch.units.length = shape.length;
        stretch.units.count = any ? (stretch.run.count + shape.length - 1) / shape.length : 0;
    };
    // While one is measured, the ranges of the next but one are found: grids are not needed as soon as they are made.
    Stretch three[3];
    Stretch *now = &three[0], *next = &three[1], *last = &three[2];
    for (Stretch* stretch : {now, next}) {
        begin(*stretch);
        stretch->signal = FindRanges(stretch->run.weights, stretch->run.count, stretch->units);
        Prepare(scheme, *stretch);
    }
    UnitsAhead ahead;
    ErrorSums total, sums;
    while (now->units.count > 0) {
        begin(*last);
        ahead.weights = last->run.weights;
        ahead.found = regular ? HWY_MIN(now->units.count, last->units.count) : 0;
        ahead.signal = 0.0;
        sums += AddStretch<floating, clipping, counting>(*now, scheme, profile, ahead, slots, clipped);
        last->signal = FindRangesLeft(last->run.count, last->units, ahead);
        Prepare(scheme, *last);
        if (next->units.count == 0 || next->run.row != now->run.row) {
            profile.rowEnergies[now->run.row] = static_cast<float>(sums.errorEnergy);
            total += sums;
            sums = {};
        }
        Stretch* const done = now;
        now = next;
        next = last;
        last = done;
    }
    return total;
}

template<bool floating, Clipping clipping>
ErrorSums MeasureCounted(const float* rows, std::size_t rowCount, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped)
{
    if (!profile.histogram)
        return MeasureRows<floating, clipping, false>(rows, rowCount, scheme, profile, nullptr, clipped);
    ErrorSlots slots(profile.bins, *profile.histogram, *profile.pairs);
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
