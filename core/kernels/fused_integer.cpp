// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/fused_integer.h"

#include "core/kernels/ranges.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/fused_integer.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/integer_stretch_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All units of a stretch; where some clip and some do not, each is measured by itself.
template<bool floating, Clipping clipping, bool counting>
StretchSums AddUnits(const StretchWork& work, std::size_t count)
{
    StretchSums sums;
    const Units& units = work.units;
    const std::size_t length = units.length, both = length | count;  // a multiple of 2ⁿ where both are
    if (HWY_UNLIKELY(units.anyClips))
        for (std::size_t u = 0; u < units.count; ++u) {
            const std::size_t begin = u * length, end = HWY_MIN(begin + length, count);
            if (units.clips[u] != 0.0F)
                addUnits<floating, Clipping::Common, counting>(work, begin, end, sums);
            else
                addUnits<floating, clipping, counting>(work, begin, end, sums);
        }
    else if (both % longestSegment == 0)
        addWholeSegments<longestSegment, floating, clipping, counting>(work, count, sums);
    else if (both % 128 == 0)
        addWholeSegments<128, floating, clipping, counting>(work, count, sums);
    else if (both % 64 == 0)
        addWholeSegments<64, floating, clipping, counting>(work, count, sums);
    else if (both % shortestSegment == 0)
        addWholeSegments<shortestSegment, floating, clipping, counting>(work, count, sums);
    else
        addUnits<floating, clipping, counting>(work, 0, count, sums);
    return sums;
}

// Whether float sums of squares can be trusted: far from overflow, and denormals add nothing that matters. Not where
// a weight is not finite.
inline bool isSafe(double sum)
{
    return sum >= 0x1p-80 && sum <= 0x1p120;
}

// Whole units of one row on their way, for one of the schemes.
struct Stretch {
    IntegerErrorJob* job = nullptr;
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
            const UnitGrid& grid = grids[scheme.shape.shared ? 0 : u];
            units.scale[u] = grid.scale;
            units.zero[u] = grid.zero;
        }
    } else if (!MakeGrids(scheme, units)) {
        return;
    }
    stretch.prepared = PrepareGrids(scheme, units);
}

// What is done for later ones while a stretch is measured.
struct Ahead {
    std::size_t fetched = 0;        // how far ahead weights are fetched from memory
    PieceRanges* ranges = nullptr;  // that are found, if any
};

template<bool floating, Clipping clipping, bool counting>
ErrorSums AddStretch(const Stretch& stretch, const Ahead& ahead, ErrorSlots* slots)
{
    IntegerErrorJob& job = *stretch.job;
    const IntegerRun& run = stretch.run;
    if (HWY_UNLIKELY(!stretch.prepared))
        return addCarefully(run, *job.scheme, &job.profile, job.clipped);
    const StretchSums made = AddUnits<floating, clipping, counting>(
        {run.weights, job.scheme->codes, stretch.units, job.profile.columnEnergies.data() + run.column, slots,
            run.weights + ahead.fetched, ahead.ranges},
        run.count);
    job.clipped += made.clipped;
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
    return HWY_LIKELY(good) ? quick : addCarefully(run, *job.scheme, nullptr, counted);
}

using StretchKernel = ErrorSums (*)(const Stretch&, const Ahead&, ErrorSlots*);

template<bool counting>
StretchKernel kernelOf(const IntegerScheme& scheme)
{
    if (scheme.codes.floatingMinimum)
        return AddStretch<true, Clipping::None, counting>;
    if (scheme.rule == IntegerRule::SymmetricFull)
        return AddStretch<false, Clipping::Extreme, counting>;
    return AddStretch<false, Clipping::None, counting>;
}

// One scheme on its way through the rows.
class Pass
{
public:
    explicit Pass(IntegerErrorJob& job)
        : m_job(&job)
        , m_add(job.profile.histogram ? kernelOf<true>(*job.scheme) : kernelOf<false>(*job.scheme))
    {
        const std::size_t length = job.scheme->shape.length;
        m_stretch = HWY_MAX(1, HWY_MIN(maxUnits, stretchLength / length)) * length;
        if (job.profile.histogram)
            m_slots.emplace(job.profile.bins, *job.profile.histogram);
    }
    IntegerErrorJob& job() const { return *m_job; }
    std::size_t stretch() const { return m_stretch; }  // weights
    void measure(const Stretch& stretch, const Ahead& ahead)
    {
        const IntegerRun& run = stretch.run;
        m_row += m_add(stretch, ahead, m_slots ? &*m_slots : nullptr);
        if (run.column + run.count < m_job->scheme->shape.columns)
            return;
        m_job->profile.rowEnergies[run.row] = static_cast<float>(m_row.errorEnergy);
        m_job->sums += m_row;
        m_row = {};
    }
    void end()
    {
        if (m_slots)
            m_slots->finish();
    }

private:
    IntegerErrorJob* m_job;
    StretchKernel m_add;
    ErrorSums m_row {};
    std::optional<ErrorSlots> m_slots;
    std::size_t m_stretch = 0;
};

// Weights that fit the second-level cache beside all else.
constexpr std::size_t mostFetchedAhead = 48 * blockLength;

// Takes a stretch's ranges from those of the window that begins at `column`, and makes its grids.
void takeStretch(const PieceRanges& ranges, std::size_t column, Stretch& stretch)
{
    const IntegerScheme& scheme = *stretch.job->scheme;
    const IntegerRun& run = stretch.run;
    Units& units = stretch.units;
    units.length = scheme.shape.length;
    units.count = (run.count + units.length - 1) / units.length;
    takeRanges(ranges, run.column - column, units);
    stretch.signal = 0.0;
    const std::size_t blocks = (run.count + blockLength - 1) / blockLength;
    for (const double sum : std::span(ranges.squares(run.column - column), blocks))
        stretch.signal += sum;
    Prepare(scheme, stretch);
}

// A window is a part of a row that each scheme's stretches fill (0: one stretch, of the only scheme), pieces are what
// all units are made of. When one window is measured its ranges are known, and those of the next are, or are found
// beside; what comes then is fetched from memory.
void MeasureRows(const float* rows, std::size_t rowCount, std::size_t window, std::size_t piece,
    std::span<IntegerErrorJob* const> jobs)
{
    const std::size_t columns = jobs.front()->scheme->shape.columns, end = rowCount * columns;
    if (end == 0)
        return;
    std::vector<Pass> passes;
    passes.reserve(jobs.size());
    for (IntegerErrorJob* job : jobs)
        passes.emplace_back(*job);
    // What is found beside is best still near when it is measured.
    const bool alone = window == 0 || (findsBeside && jobs.size() == 1);
    window = HWY_MIN(alone ? passes.front().stretch() : window, columns);
    // By the first scheme alone, whose last stretch of a window may be measured within the next one.
    Ahead ahead {.fetched = HWY_MIN(2 * window + passes.front().stretch(), mostFetchedAhead)};
    PieceRanges both[2] = {{window, piece}, {window, piece}};
    PieceRanges *now = &both[0], *next = &both[1];
    // While one is measured, the next one's grids are made: those are not needed as soon as they are there. Units
    // longer than a stretch are measured at once: there is little to wait for, and their weights would leave the cache.
    Stretch two[2];
    Stretch *ready = &two[0], *coming = &two[1];
    Pass* last = nullptr;  // whose stretch is ready
    now->begin(rows, window);
    now->findRest();
    for (std::size_t at = 0, row = 0, column = 0; at < end;) {
        const std::size_t count = HWY_MIN(window, columns - column);
        const std::size_t following = column + count == columns ? 0 : column + count;
        next->begin(rows + at + count, at + count < end ? HWY_MIN(window, columns - following) : 0);
        if constexpr (findsBeside)
            ahead.ranges = next;
        else
            next->findRest();
        for (Pass& pass : passes)
            for (std::size_t begin = 0; begin < count; begin += pass.stretch()) {
                coming->job = &pass.job();
                coming->run = {rows + at + begin, row, column + begin, HWY_MIN(pass.stretch(), count - begin)};
                takeStretch(*now, column, *coming);
                if (last)
                    last->measure(*ready, last == passes.data() ? ahead : Ahead {});
                last = &pass;
                std::swap(ready, coming);
                if (pass.stretch() > stretchLength) {
                    pass.measure(*ready, last == passes.data() ? ahead : Ahead {});
                    last = nullptr;
                }
            }
        next->findRest();
        std::swap(now, next);
        at += count;
        row += following == 0 ? 1 : 0;
        column = following;
    }
    if (last)
        last->measure(*ready, {});
    for (Pass& pass : passes)
        pass.end();
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(MeasureRows);

namespace {

UnitGrid gridOfUnit(std::span<const float> unit, std::size_t row, std::size_t column, const IntegerScheme& scheme)
{
    if (scheme.rule == IntegerRule::Given)
        return scheme.shape.shared ? scheme.grids[0]
                                   : scheme.grids[row * scheme.shape.unitsPerRow() + column / scheme.shape.length];
    return integerGrid(scheme.rule, scheme.codes, rangeOfReference(unit));
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

void integerErrors(std::span<const float> rows, std::span<IntegerErrorJob> jobs)
{
    // Measured together is what shares ranges and still has its own stretches, blocks and lanes of sums: units of whole
    // pieces, whose vectors add to the same sums whatever their lengths (SignalLanes::turn()), that blocks are made of,
    // or that are made of blocks, or are whole rows.
    constexpr std::size_t block = 1'024, longestWindow = 16 * block, shortestPiece = 32;
    const auto measure = [&](std::span<IntegerErrorJob* const> set, std::size_t window, std::size_t piece) {
        const auto rowCount = set.front()->scheme->shape.rows(rows.size());
        HWY_DYNAMIC_DISPATCH(MeasureRows)(rows.data(), rowCount, window, piece, set);
    };
    std::vector<IntegerErrorJob*> together;
    std::size_t piece = 128;  // whose ranges are found fastest
    for (auto& job : jobs) {
        const auto& shape = job.scheme->shape;
        const auto length = shape.length;
        IntegerErrorJob* const alone = &job;
        const bool regular = length % shortestPiece == 0 && shape.columns % length == 0
            && (block % length == 0 || length % block == 0 || length == shape.columns);
        if (!regular || (shape.columns > longestWindow && longestWindow % length != 0)) {
            measure({&alone, 1}, 0, length);
            continue;
        }
        together.push_back(alone);
        while (length % piece != 0)
            piece /= 2;
    }
    if (!together.empty())
        measure(together, longestWindow, piece);
}

ErrorSums integerErrors(std::span<const float> rows, const IntegerScheme& scheme, const IntegerErrorProfile& profile,
    std::uint64_t& clipped)
{
    IntegerErrorJob job {.scheme = &scheme, .profile = profile};
    integerErrors(rows, {&job, 1});
    clipped += job.clipped;
    return job.sums;
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
