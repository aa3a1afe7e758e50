// SPDX-License-Identifier: GPL-3.0-or-later
// A stretch of units quantized and measured. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_STRETCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_STRETCH_INL
#undef QUANTLOUPE_INTEGER_STRETCH_INL
#else
#define QUANTLOUPE_INTEGER_STRETCH_INL
#endif

#include "core/kernels/integer_lanes_inl.h"
#include "core/kernels/integer_segments_inl.h"
#include "core/kernels/piece_finder_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t maxSegments = 64;

struct StretchWork {
    const float* weights;
    const IntegerCodes& codes;
    const Units& units;
    float* columns;
    ErrorSlots* slots;
    const float* fetch;   // weights that will be looked at once these and some more are measured
    PieceRanges* coming;  // to be found beside, block by block, if any
};

// What was seen of each segment.
struct Marks {
    HWY_ALIGN float largest[maxSegments * wideLanes], farthest[maxSegments * wideLanes];
    HWY_ALIGN std::int32_t clipped[maxSegments * wideLanes];

    template<Clipping clipping>
    HWY_INLINE void keep(std::size_t s, const SegmentMarks<Wide>& seen)
    {
        const Wide d;
        hn::Store(seen.largest, d, largest + s * wideLanes);
        if constexpr (clipping == Clipping::Common)
            hn::Store(seen.farthest, d, farthest + s * wideLanes);
        if constexpr (clipping != Clipping::None)
            hn::Store(seen.clipped, hn::RebindToSigned<Wide>(), clipped + s * wideLanes);
    }
};

constexpr std::size_t lineLength = 64 / sizeof(float);

// Into the second-level cache (2), since the first has other things to hold until then, or into the first (3).
template<int locality>
HWY_INLINE void fetchLine(const float* weights)
{
    __builtin_prefetch(weights, 0, locality);
}

template<int locality>
HWY_INLINE void fetchStep(const float* weights)
{
    for (std::size_t i = 0; i < stepLength; i += lineLength)
        fetchLine<locality>(weights + i);
}

// Counts what came before between the vectors of a pair.
template<bool counting>
struct CountBetween {
    SlotCounter& counter;
    std::size_t first;  // vector of the step

    HWY_INLINE void operator()(std::size_t part) const
    {
        if constexpr (counting)
            counter.countPart(first + part);
    }
};

// One step by quick rounding.
template<bool floating, Clipping clipping, bool counting>
HWY_INLINE void addStep(const float* weights, const UnitSteps<Wide>& steps, BlockLanes<Wide>& lanes,
    SegmentMarks<Wide>& seen, float* columns, SlotCounter& counter)
{
    const Wide d;
    if constexpr (fusesSums) {
        hn::Vec<Wide> first, second;
        addPair<floating, clipping>(
            d, weights, steps, lanes, seen, columns, first, second, CountBetween<counting> {counter, 0});
        if constexpr (counting)
            counter.keep(first, second);
    } else {
        hn::Vec<Wide> errors[stepVectors];
#pragma GCC unroll 2
        for (std::size_t k = 0; k < stepVectors; k += 2)
            addPair<floating, clipping>(d, weights + k * wideLanes, steps, lanes, seen, columns + k * wideLanes,
                errors[k], errors[k + 1], CountBetween<counting> {counter, k});
        if constexpr (counting)
            counter.keep(errors);
    }
}

// Proves segments right, or corrects them; and adds what is no whole step.
template<bool floating, Clipping clipping, bool counting, class Walk>
HWY_NOINLINE void settleSegments(const StretchWork& work, Walk segments, const Marks& marks, RowSums& sums)
{
    const Wide d;
    const hn::RebindToSigned<Wide> di;
    auto largest = hn::Zero(d);
    auto clipped = hn::Zero(di);
    for (std::size_t s = 0; !segments.done(); ++s) {
        const Segment segment = segments.next();
        const std::size_t u = segment.unit, whole = segment.wholeSteps();
        auto most = squareOfMark(hn::Load(d, marks.largest + s * wideLanes));
        auto sure = hn::Le(most, hn::Set(d, work.units.limit[u]));
        if constexpr (clipping == Clipping::Common)
            sure = hn::Le(hn::Load(d, marks.farthest + s * wideLanes), hn::Set(d, work.units.margin[u]));
        if constexpr (clipping == Clipping::Extreme)
            most = hn::Max(most, hn::Set(d, work.units.extremeSquare[u]));
        if constexpr (counting)
            sure = hn::And(sure, hn::Le(most, hn::Set(d, work.slots->largestSquare())));
        if (HWY_UNLIKELY(!hn::AllTrue(d, sure))) {
            sums.add(d,
                correction<floating, clipping, counting>(work.weights + segment.begin, whole, work.codes, work.units, u,
                    work.columns + segment.begin, work.slots));
        } else {
            largest = hn::Max(largest, most);
            if (clipping == Clipping::Common || (clipping == Clipping::Extreme && work.units.clipped[u] != 0.0F))
                clipped = hn::Add(clipped, hn::Load(di, marks.clipped + s * wideLanes));
        }
        if (HWY_UNLIKELY(segment.begin + whole < segment.end))
            addRest<floating, counting>(work.weights + segment.begin + whole, segment.end - segment.begin - whole,
                work.codes, work.units, u, work.columns + segment.begin + whole, work.slots, sums);
    }
    sums.widen(largest);
    sums.clipped += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(di, clipped)));
}

// Units of any length, any weights [begin, end) of the stretch.
template<bool floating, Clipping clipping, bool counting>
void addUnits(const StretchWork& work, std::size_t begin, std::size_t end, RowSums& sums)
{
    const Wide d;
    Marks marks;
    SlotCounter counter(work.slots);
    Segments segments(work.units, begin, end);
    while (!segments.done()) {
        const std::size_t first = begin;
        for (std::size_t s = 0; s < maxSegments && !segments.done();) {
            BlockLanes<Wide> lanes(d);
            for (std::size_t block = begin;
                 s < maxSegments && !segments.done() && begin + longestSegment <= block + blockLength; ++s) {
                const Segment segment = segments.next();
                const auto steps =
                    UnitSteps<Wide>::template of<floating, clipping>(d, work.codes, work.units, segment.unit);
                SegmentMarks<Wide> seen(d);
                const std::size_t whole = segment.begin + segment.wholeSteps();
                if constexpr (counting)
                    work.slots->makeRoom(segment.wholeSteps());
                for (std::size_t i = segment.begin; i < whole; i += stepLength) {
                    fetchStep<2>(work.fetch + i);
                    addStep<floating, clipping, counting>(
                        work.weights + i, steps, lanes, seen, work.columns + i, counter);
                }
                marks.keep<clipping>(s, seen);
                begin = segment.end;
            }
            sums.addBlock(d, lanes);
        }
        settleSegments<floating, clipping, counting>(work, Segments(work.units, first, begin), marks, sums);
    }
    counter.giveBack(work.slots);
}

// What was seen of some segments of one length, which lie side by side.
struct SegmentSums {
    hn::Vec<Wide> mark, extreme;  // the largest mark, and e² of an extreme
    hn::Vec<Wide> clipped;        // whole numbers
    hn::Vec<Wide> excess;         // the largest; above 0 nothing is proven

    SegmentSums()
        : mark(hn::Zero(Wide()))
        , extreme(mark)
        , clipped(mark)
        , excess(hn::Set(Wide(), -1.0F))
    {
    }
    hn::Vec<Wide> largestSquare() const { return hn::Max(squareOfMark(mark), extreme); }
    bool sure() const { return hn::AllTrue(Wide(), hn::Le(excess, hn::Zero(Wide()))); }
};

// Measures segments of one length that divides a unit, one after the other.
template<std::size_t length, bool floating, Clipping clipping, bool counting>
class SegmentRunner
{
public:
    static_assert(length % stepLength == 0 && length <= longestSegment);
    static constexpr std::size_t perBlock = blockLength / length;
    static constexpr std::size_t piece = HWY_MIN(length, 128);  // of ranges that are found beside

    SegmentRunner(const StretchWork& work, Marks& marks)
        : m_units(work.units)
        , m_codes(work.codes)
        , m_weights(work.weights)
        , m_fetch(work.fetch)
        , m_columns(work.columns)
        , m_unit(work.units, length, 0)
        , m_marks(marks)
        , m_slots(work.slots)
    {
    }

    // The next `count` segments, at most a block; their marks are kept from place s on.
    template<class Finder>
    HWY_INLINE void addBlock(
        std::size_t count, std::size_t s, SegmentSums& seen, RowSums& sums, SlotCounter& counter, Finder& finder)
    {
        const Wide d;
        // Steps of a piece one after the other, unless there are counters to be increased between them.
        constexpr std::size_t atOnce = findsBeside && !counting ? piece : stepLength;
        if constexpr (counting)
            m_slots->makeRoom(count * length);
        BlockLanes<Wide> lanes(d);
        for (std::size_t k = 0; k < count; ++k) {
            const auto steps = UnitSteps<Wide>::template of<floating, clipping>(d, m_codes, m_units, m_unit.unit());
            SegmentMarks<Wide> marks(d);
            for (std::size_t begin = 0; begin < length; begin += atOnce) {
#pragma GCC unroll 4
                for (std::size_t i = 0; i < atOnce; i += stepLength) {
                    fetchStep<Finder::locality>(m_fetch + i);
                    finder.add(atOnce == piece ? i == 0 : begin % piece == 0);
                    addStep<floating, clipping, counting>(m_weights + i, steps, lanes, marks, m_columns + i, counter);
                }
                if (atOnce == piece || (begin + atOnce) % piece == 0)
                    finder.endPiece();
                m_weights += atOnce;
                m_fetch += atOnce;
                m_columns += atOnce;
            }
            keep(s + k, marks, seen);
            m_unit.advance();
        }
        sums.addBlock(d, lanes);
        finder.endBlock();
    }

private:
    HWY_INLINE void keep(std::size_t s, const SegmentMarks<Wide>& marks, SegmentSums& seen)
    {
        const Wide d;
        const hn::RebindToSigned<Wide> di;
        m_marks.template keep<clipping>(s, marks);
        seen.mark = hn::Max(seen.mark, marks.largest);
        seen.excess = hn::Max(seen.excess, excessOfMark(marks.largest, hn::Set(d, m_units.limit[m_unit.unit()])));
        if constexpr (clipping == Clipping::Extreme) {
            seen.extreme = hn::Max(seen.extreme, hn::Set(d, m_units.extremeSquare[m_unit.unit()]));
            const auto counted = hn::And(hn::Set(d, m_units.clipped[m_unit.unit()]), hn::BitCast(d, marks.clipped));
            seen.clipped = hn::BitCast(d, hn::Add(hn::BitCast(di, seen.clipped), hn::BitCast(di, counted)));
        }
    }

    const Units& m_units;
    const IntegerCodes& m_codes;
    const float* m_weights;
    const float* m_fetch;
    float* m_columns;
    UnitOfSegment m_unit;
    Marks& m_marks;
    ErrorSlots* m_slots;
};

// `weightCount` weights in segments of one length that divides them and a unit.
template<std::size_t length, bool floating, Clipping clipping, bool counting>
HWY_NOINLINE void addWholeSegments(const StretchWork& work, std::size_t weightCount, RowSums& sums)
{
    const Wide d;
    const hn::RebindToSigned<Wide> di;
    using Runner = SegmentRunner<length, floating, clipping, counting>;
    const std::size_t count = weightCount / length;
    SlotCounter counter(work.slots);
    Marks marks;
    Runner runner(work, marks);
    PieceFinder::Kept kept;
    for (std::size_t first = 0; first < count; first += maxSegments) {
        const std::size_t end = HWY_MIN(first + maxSegments, count);
        SegmentSums seen;
        for (std::size_t s = first; s < end;) {
            const std::size_t inBlock = HWY_MIN(Runner::perBlock, end - s);
            const bool isWhole = inBlock == Runner::perBlock;
            bool found = false;
            if constexpr (findsBeside)
                if (isWhole && PieceFinder::fits(work.coming, Runner::piece)) {
                    PieceFinder finder(work.coming, kept);
                    runner.addBlock(Runner::perBlock, s - first, seen, sums, counter, finder);
                    found = true;
                }
            if (!found) {
                NoFinder none;
                runner.addBlock(inBlock, s - first, seen, sums, counter, none);
            }
            s += inBlock;
        }
        const auto largest = seen.largestSquare();
        bool sure = seen.sure();
        if constexpr (counting)
            sure = sure && hn::AllTrue(d, hn::Le(largest, hn::Set(d, work.slots->largestSquare())));
        if (HWY_UNLIKELY(!sure)) {
            settleSegments<floating, clipping, counting>(
                work, EqualSegments<length>(work.units, first, end), marks, sums);
            continue;
        }
        sums.widen(largest);
        if constexpr (clipping != Clipping::None)
            sums.clipped += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(di, hn::BitCast(di, seen.clipped))));
    }
    counter.giveBack(work.slots);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
