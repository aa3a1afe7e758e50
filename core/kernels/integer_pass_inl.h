// SPDX-License-Identifier: GPL-3.0-or-later
// One scheme on its way through the rows. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_PASS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_PASS_INL
#undef QUANTLOUPE_INTEGER_PASS_INL
#else
#define QUANTLOUPE_INTEGER_PASS_INL
#endif

#include "core/kernels/integer_stretch_inl.h"

#include <algorithm>
#include <cmath>
#include <optional>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All units of a stretch; where some clip and some do not, each is measured by itself.
template<bool floating, Clipping clipping, bool counting>
HWY_INLINE void addAllUnits(const StretchWork& work, std::size_t count, RowSums& sums)
{
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
    // Σw² of each block, to be added one by one as other sums are; of a long stretch, all in the first.
    double signals[stretchLength / blockLength] = {};
    bool blocksAreSafe = false;
    bool prepared = false;
};

// Makes the grids of units whose ranges and Σw² are known, unless only the definition itself will do.
inline void prepare(const IntegerScheme& scheme, Stretch& stretch)
{
    Units& units = stretch.units;
    stretch.prepared = false;
    if (!stretch.blocksAreSafe)
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
    } else if (!makeGrids(scheme, units)) {
        return;
    }
    stretch.prepared = prepareGrids(scheme, units);
}

// What is done for later ones while a stretch is measured.
struct Ahead {
    std::size_t fetched = 0;        // how far ahead weights are fetched from memory
    PieceRanges* ranges = nullptr;  // that are found, if any
};

// Adds a stretch of a row to its sums, or to `careful` what only the definition will do for.
template<bool floating, Clipping clipping, bool counting>
void addStretch(const Stretch& stretch, const Ahead& ahead, ErrorSlots* slots, RowSums& sums, ErrorSums& careful)
{
    IntegerErrorJob& job = *stretch.job;
    const IntegerRun& run = stretch.run;
    if (HWY_UNLIKELY(!stretch.prepared)) {
        careful += addCarefully(run, *job.scheme, &job.profile, job.clipped);
        return;
    }
    sums.count += run.count;
    for (const double signal : stretch.signals)
        sums.signal += signal;
    addAllUnits<floating, clipping, counting>(
        {run.weights, job.scheme->codes, stretch.units, job.profile.columnEnergies.data() + run.column, slots,
            run.weights + ahead.fetched, ahead.ranges},
        run.count, sums);
}

using StretchKernel = void (*)(const Stretch&, const Ahead&, ErrorSlots*, RowSums&, ErrorSums&);

template<bool counting>
StretchKernel kernelOf(const IntegerScheme& scheme)
{
    if (scheme.codes.floatingMinimum)
        return addStretch<true, Clipping::None, counting>;
    if (scheme.rule == IntegerRule::SymmetricFull)
        return addStretch<false, Clipping::Extreme, counting>;
    return addStretch<false, Clipping::None, counting>;
}

class Pass
{
public:
    // piece: of the ranges to come; alone: it is the only one.
    Pass(IntegerErrorJob& job, std::size_t piece, bool alone)
        : m_job(&job)
        , m_piece(piece)
        , m_perUnit(job.scheme->shape.length / piece)
        , m_add(job.profile.histogram ? kernelOf<true>(*job.scheme) : kernelOf<false>(*job.scheme))
    {
        const std::size_t length = job.scheme->shape.length;
        // What is found beside is to be near still when it is measured.
        const bool finds = findsBeside && alone && blockLength % length == 0;
        m_units = HWY_MAX(1, HWY_MIN(maxUnits, (finds ? blockLength : stretchLength) / length));
        m_stretch = m_units * length;
        if (job.profile.histogram)
            m_slots.emplace(job.profile.bins, *job.profile.histogram);
    }
    std::size_t stretch() const { return m_stretch; }  // weights
    // Takes a run's ranges from those of the window that begins so many weights before it, and makes its grids. Where
    // only the definition will do or units clip it takes a block, if that is made of units, however long stretches
    // are: figures do not depend on it.
    void take(const IntegerRun& run, const PieceRanges& ranges, std::size_t before, Stretch& stretch) const
    {
        stretch.job = m_job;
        stretch.run = run;
        prepareRun(ranges, before, stretch);
        const std::size_t length = m_job->scheme->shape.length;
        const bool fits = stretch.prepared && !stretch.units.anyClips;
        if (HWY_UNLIKELY(!fits && run.count > blockLength && blockLength % length == 0)) {
            stretch.run.count = blockLength;
            prepareRun(ranges, before, stretch);
        }
    }
    void measure(const Stretch& stretch, const Ahead& ahead)
    {
        const IntegerRun& run = stretch.run;
        m_add(stretch, ahead, m_slots ? &*m_slots : nullptr, m_sums, m_careful);
        if (run.column + run.count == m_job->scheme->shape.columns)
            endRow(run);
    }
    void end()
    {
        if (m_slots)
            m_slots->finish();
    }

private:
    void prepareRun(const PieceRanges& ranges, std::size_t before, Stretch& stretch) const
    {
        const std::size_t count = stretch.run.count, length = m_job->scheme->shape.length;
        stretch.units.length = length;
        // Divisions take longer than all else here.
        stretch.units.count = HWY_LIKELY(count == m_stretch) ? m_units : (count + length - 1) / length;
        takeRanges(ranges, before == 0 ? 0 : before / m_piece, m_perUnit, stretch.units);
        std::fill_n(stretch.signals, std::size(stretch.signals), 0.0);
        stretch.blocksAreSafe = true;
        const std::span squares(ranges.squares(before), (count + blockLength - 1) / blockLength);
        for (std::size_t i = 0; i < squares.size(); ++i) {
            stretch.signals[squares.size() <= std::size(stretch.signals) ? i : 0] += squares[i];
            stretch.blocksAreSafe = stretch.blocksAreSafe && isSafe(squares[i]);
        }
        prepare(*m_job->scheme, stretch);
    }
    // With the last stretch of a row.
    void endRow(const IntegerRun& run)
    {
        // ŵ = w − e: as exact as its own sums wherever ŵ is anything like w. The root of a rounded square is the number
        // itself, exactly, unless it underflows, which it cannot where the sum of squares is safe.
        const double signal = m_sums.signal;
        ErrorSums row {.count = m_sums.count,
            .signalEnergy = signal,
            .quantizedEnergy = signal - 2.0 * m_sums.product() + m_sums.energy(),
            .errorEnergy = m_sums.energy(),
            .dotProduct = signal - m_sums.product(),
            .errorSum = m_sums.sum(),
            .maxAbsError = static_cast<double>(std::sqrt(m_sums.largestSquare()))};
        const bool good = isSafe(row.errorEnergy) && 16.0 * row.dotProduct >= signal
            && 16.0 * row.quantizedEnergy >= signal && row.quantizedEnergy <= 0x1p120;
        m_job->clipped += m_sums.clipped;
        if (HWY_UNLIKELY(!good)) {
            std::uint64_t counted = 0;
            row = addCarefully(
                {run.weights - run.column, run.row, 0, run.column + run.count}, *m_job->scheme, nullptr, counted);
        } else if (HWY_UNLIKELY(m_careful.count > 0)) {
            row += m_careful;
        }
        m_job->profile.rowEnergies[run.row] = static_cast<float>(row.errorEnergy);
        m_job->sums += row;
        m_sums = {};
        m_careful = {};
    }

    IntegerErrorJob* m_job;
    std::size_t m_piece, m_perUnit;  // pieces of a unit
    StretchKernel m_add;
    RowSums m_sums;          // of a row on its way
    ErrorSums m_careful {};  // of its weights that only the definition will do for
    std::optional<ErrorSlots> m_slots;
    std::size_t m_units = 0, m_stretch = 0;  // of a whole stretch: units, weights
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
