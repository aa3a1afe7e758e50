// SPDX-License-Identifier: GPL-3.0-or-later
// Weights of one unit quantized and measured in vectors. Included once per instruction set.
#if defined(QUANTLOUPE_INTEGER_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_INTEGER_LANES_INL
#undef QUANTLOUPE_INTEGER_LANES_INL
#else
#define QUANTLOUPE_INTEGER_LANES_INL
#endif

#include "core/kernels/error_slots_inl.h"
#include "core/kernels/integer_units_inl.h"

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What to do where a unit has weights beyond its range.
enum class Clipping {
    None,     // there are none
    Extreme,  // the largest weight alone may be; its step is known
    Common,   // be ready for one in every vector
};

// Sums over the lanes of a block. ŵ is in none of them: its sums follow from these.
template<class D>
struct BlockLanes {
    // Σw·e and Σe², in two sums each where no addition is to wait for the one before it
    hn::Vec<D> product, oddProduct, energy, oddEnergy;
    hn::Vec<D> sum;
    hn::Vec<D> largest, clipped;  // e², and how many were: only of what is measured by division

    explicit BlockLanes(D d)
        : product(hn::Zero(d))
        , oddProduct(hn::Zero(d))
        , energy(hn::Zero(d))
        , oddEnergy(hn::Zero(d))
        , sum(hn::Zero(d))
        , largest(hn::Zero(d))
        , clipped(hn::Zero(d))
    {
    }
};

// What every vector of a unit needs; lowest and highest only where something is clamped.
template<class D>
struct UnitSteps {
    hn::Vec<D> scale, inverse, minimum, lowest, highest, extreme;
    hn::Vec<D> magic;  // roundingSum; opaque, or there is a register for its negative too

    template<bool floating, Clipping clipping>
    static HWY_INLINE UnitSteps of(D d, const IntegerCodes& codes, const Units& units, std::size_t u)
    {
        UnitSteps steps;
        steps.scale = hn::Set(d, units.scale[u]);
        steps.inverse = hn::Set(d, units.inverse[u]);
        steps.magic = opaque(hn::Set(d, roundingSum));
        if constexpr (floating)
            steps.minimum = hn::Set(d, units.zero[u]);
        if constexpr (clipping == Clipping::Common) {
            steps.lowest = hn::Set(d, floating ? codes.lowest : codes.lowest - units.zero[u]);
            steps.highest = hn::Set(d, floating ? codes.highest : codes.highest - units.zero[u]);
        }
        if constexpr (clipping == Clipping::Extreme)
            steps.extreme = hn::Set(d, units.extreme[u]);
        return steps;
    }
};

// One vector on its way: e, how far the quotient is from its step, and all bits where the weight was clipped.
template<class D>
struct Rounded {
    hn::Vec<D> error, distance, moved;
};

// exact: by the definition's division.
template<bool floating, bool clamped, bool exact, class D, class V = hn::Vec<D>>
HWY_INLINE Rounded<D> roundVector(D d, V w, const UnitSteps<D>& steps)
{
    Rounded<D> result;
    const V x = floating ? hn::Sub(w, steps.minimum) : w;
    V step;
    if constexpr (!clamped && !exact) {
        step = nearestStep(x, steps.inverse, steps.magic);
    } else {
        const V ratio = exact ? hn::Div(x, steps.scale) : hn::Mul(x, steps.inverse);
        step = hn::Round(ratio);
        const V inside = hn::Min(hn::Max(step, steps.lowest), steps.highest);
        result.distance = hn::Abs(hn::Sub(ratio, step));
        result.moved = hn::VecFromMask(d, hn::Ne(step, inside));
        step = inside;
    }
    const V value = hn::Mul(step, steps.scale);
    result.error = hn::Sub(w, floating ? hn::Add(value, steps.minimum) : value);
    return result;
}

// The larger of two marks: sizes of errors where sums are fused; else squares, whose bits are in the order of the
// numbers: multiplication has the units for maxima of floats to itself.
HWY_INLINE hn::Vec<Wide> largerMark(hn::Vec<Wide> a, hn::Vec<Wide> b)
{
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
    return hn::Vec<Wide> {_mm512_range_ps(a.raw, b.raw, 0b1011)};
#else
    const hn::RebindToSigned<Wide> bits;
    return hn::BitCast(Wide(), hn::Max(hn::BitCast(bits, a), hn::BitCast(bits, b)));
#endif
}

// e² of a mark.
HWY_INLINE hn::Vec<Wide> squareOfMark(hn::Vec<Wide> mark)
{
    return fusesSums ? hn::Mul(mark, mark) : mark;
}

// By how much it exceeds a limit.
HWY_INLINE hn::Vec<Wide> excessOfMark(hn::Vec<Wide> mark, hn::Vec<Wide> limit)
{
    return fusesSums ? hn::MulSub(mark, mark, limit) : hn::Sub(mark, limit);
}

// What a segment has to keep to be sure of its codes: the largest e², or the distance from a step where weights may be
// clipped; and how many were, or are the extreme.
template<class D>
struct SegmentMarks {
    hn::Vec<D> largest, farthest;  // the former as largerMark() takes it
    hn::Vec<hn::RebindToSigned<D>> clipped;

    explicit SegmentMarks(D d)
        : largest(hn::Zero(d))
        , farthest(hn::Zero(d))
        , clipped(hn::Zero(hn::RebindToSigned<D>()))
    {
    }
    HWY_INLINE void count(hn::Vec<D> all) { clipped = hn::Sub(clipped, hn::BitCast(hn::RebindToSigned<D>(), all)); }
};

// Two vectors. `between` is done after each: other work, for what waits.
template<bool floating, Clipping clipping, class D, class V, class Between>
HWY_INLINE void addPair(D d, const float* w, const UnitSteps<D>& steps, BlockLanes<D>& lanes, SegmentMarks<D>& marks,
    float* columns, V& first, V& second, const Between& between)
{
    const std::size_t n = hn::Lanes(d);
    const V v = loadedOnce(d, w), x = loadedOnce(d, w + n);
    const auto a = roundVector<floating, clipping == Clipping::Common, false>(d, v, steps);
    const auto b = roundVector<floating, clipping == Clipping::Common, false>(d, x, steps);
    first = a.error;
    second = b.error;
    lanes.product = hn::MulAdd(v, a.error, lanes.product);
    lanes.oddProduct = hn::MulAdd(x, b.error, lanes.oddProduct);
    between(0);
    V doubtfulA = a.error, doubtfulB = b.error;
    if constexpr (fusesSums) {
        hn::StoreU(hn::MulAdd(a.error, a.error, hn::LoadU(d, columns)), d, columns);
        hn::StoreU(hn::MulAdd(b.error, b.error, hn::LoadU(d, columns + n)), d, columns + n);
        lanes.energy = hn::MulAdd(a.error, a.error, lanes.energy);
        lanes.oddEnergy = hn::MulAdd(b.error, b.error, lanes.oddEnergy);
    } else {
        doubtfulA = hn::Mul(a.error, a.error);
        doubtfulB = hn::Mul(b.error, b.error);
        hn::StoreU(hn::Add(doubtfulA, hn::LoadU(d, columns)), d, columns);
        hn::StoreU(hn::Add(doubtfulB, hn::LoadU(d, columns + n)), d, columns + n);
        // Multiplication has units to spare where addition has none.
        lanes.energy = hn::Add(lanes.energy, hn::MulAdd(a.error, a.error, doubtfulB));
    }
    if constexpr (clipping == Clipping::Extreme) {
        const V isA = hn::VecFromMask(d, hn::Eq(v, steps.extreme)), isB = hn::VecFromMask(d, hn::Eq(x, steps.extreme));
        doubtfulA = hn::AndNot(isA, doubtfulA);
        doubtfulB = hn::AndNot(isB, doubtfulB);
        marks.count(isA);
        marks.count(isB);
    }
    marks.largest = largerMark(marks.largest, largerMark(doubtfulA, doubtfulB));
    lanes.sum = hn::Add(lanes.sum, hn::Add(a.error, b.error));
    if constexpr (clipping == Clipping::Common) {
        marks.farthest = hn::Max(marks.farthest, hn::Max(a.distance, b.distance));
        marks.count(a.moved);
        marks.count(b.moved);
    }
    between(1);
}

// A vector by division at once.
template<bool floating, class D>
HWY_INLINE void addExactly(
    D d, const float* w, const UnitSteps<D>& steps, BlockLanes<D>& lanes, float* columns, float* error)
{
    const auto v = hn::LoadU(d, w);
    const auto a = roundVector<floating, true, true>(d, v, steps);
    const auto square = hn::Mul(a.error, a.error);
    lanes.clipped = hn::Add(lanes.clipped, hn::And(a.moved, hn::Set(d, 1.0F)));
    lanes.product = hn::MulAdd(v, a.error, lanes.product);
    lanes.energy = hn::Add(lanes.energy, square);
    lanes.sum = hn::Add(lanes.sum, a.error);
    lanes.largest = hn::Max(lanes.largest, square);
    hn::StoreU(hn::Add(hn::LoadU(d, columns), square), d, columns);
    hn::StoreU(a.error, d, error);
}

// The difference that division makes to `count` weights in whole steps, which were rounded quickly and are in the
// columns and slots already; `largest` and `clipped` are anew, of all of them.
template<bool floating, Clipping clipping, bool counting>
HWY_NOINLINE BlockLanes<Wide> correction(const float* w, std::size_t count, const IntegerCodes& codes,
    const Units& units, std::size_t u, float* columns, ErrorSlots* slots)
{
    const Wide d;
    constexpr std::size_t n = wideLanes;
    constexpr bool clamped = clipping == Clipping::Common;
    const auto steps = UnitSteps<Wide>::template of<floating, Clipping::Common>(d, codes, units, u);
    BlockLanes<Wide> lanes(d);
    for (std::size_t i = 0; i < count; i += stepLength) {
        hn::Vec<Wide> quick[stepVectors], exact[stepVectors];
        auto same = hn::Eq(lanes.sum, lanes.sum);
        auto largest = hn::Zero(d);
        for (std::size_t k = 0; k < stepVectors; ++k) {
            const auto v = hn::LoadU(d, w + i + k * n);
            const auto rounded = roundVector<floating, true, true>(d, v, steps);
            quick[k] = roundVector<floating, clamped, false>(d, v, steps).error;
            exact[k] = rounded.error;
            same = hn::And(same, hn::Eq(quick[k], exact[k]));
            largest = hn::Max(largest, hn::Mul(exact[k], exact[k]));
            lanes.clipped = hn::Add(lanes.clipped, hn::And(rounded.moved, hn::Set(d, 1.0F)));
        }
        lanes.largest = hn::Max(lanes.largest, largest);
        const bool right = hn::AllTrue(d, same);
        if (!right)
            for (std::size_t k = 0; k < stepVectors; ++k) {
                const auto v = hn::LoadU(d, w + i + k * n);
                const auto more = hn::Sub(hn::Mul(exact[k], exact[k]), hn::Mul(quick[k], quick[k]));
                const auto apart = hn::Sub(exact[k], quick[k]);
                lanes.product = hn::MulAdd(v, apart, lanes.product);
                lanes.energy = hn::Add(lanes.energy, more);
                lanes.sum = hn::Add(lanes.sum, apart);
                float* at = columns + i + k * n;
                hn::StoreU(hn::Add(hn::LoadU(d, at), more), d, at);
            }
        if constexpr (counting)
            if (!right || !hn::AllTrue(d, hn::Le(largest, hn::Set(d, slots->largestSquare()))))
                slots->replace(quick, exact);
    }
    return lanes;
}

// Of a row on its way.
struct RowSums {
    std::size_t count = 0;
    double signal = 0.0;  // Σw²
    std::uint64_t clipped = 0;

    // What blocks sum, apart from what is marked by segments.
    template<class D>
    HWY_INLINE void addBlock(D d, const BlockLanes<D>& lanes)
    {
        addSums(d, lanes, m_blocks);
    }
    // What is added once segments are settled: apart, so that it is of no matter when they are.
    template<class D>
    HWY_INLINE void add(D d, const BlockLanes<D>& lanes)
    {
        addSums(d, lanes, m_later);
        for (std::size_t i = 0; i < wideLanes; i += hn::Lanes(d))
            hn::Store(hn::Max(hn::Load(d, m_largest + i), lanes.largest), d, m_largest + i);
        clipped += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, lanes.clipped)));
    }
    // e² of what was measured.
    HWY_INLINE void widen(hn::Vec<Wide> squares)
    {
        const Wide d;
        hn::Store(hn::Max(hn::Load(d, m_largest), squares), d, m_largest);
    }

    double product() const { return m_blocks[0] + m_later[0]; }
    double energy() const { return m_blocks[1] + m_later[1]; }
    double sum() const { return m_blocks[2] + m_later[2]; }
    float largestSquare() const { return hn::GetLane(hn::MaxOfLanes(Wide(), hn::Load(Wide(), m_largest))); }

private:
    // Σw·e, Σe² and Σe
    template<class D>
    static HWY_INLINE void addSums(D d, const BlockLanes<D>& lanes, double* to)
    {
        const auto products = hn::Add(lanes.product, lanes.oddProduct);
        const auto energies = hn::Add(lanes.energy, lanes.oddEnergy);
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
        if constexpr (hn::MaxLanes(d) == 16) {  // all at once, beside zeros
            const auto halves = [](hn::Vec<D> v) HWY_ATTR {
                return _mm256_add_ps(_mm512_castps512_ps256(v.raw), _mm512_extractf32x8_ps(v.raw, 1));
            };
            const auto pairs = [](__m256 a, __m256 b) HWY_ATTR {
                return _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
            };
            const __m256d first = pairs(halves(products), halves(energies));
            const __m256d second = pairs(halves(lanes.sum), _mm256_setzero_ps());
            const __m256 all = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(first, second)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(first, second)));
            const __m128 total = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), _mm256_cvtps_pd(total)));
            return;
        }
#endif
        const auto total = [d](hn::Vec<D> v)
                               HWY_ATTR { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
        to[0] += total(products);
        to[1] += total(energies);
        to[2] += total(lanes.sum);
    }

    double m_blocks[4] = {}, m_later[4] = {};
    HWY_ALIGN float m_largest[wideLanes] = {};  // in each lane
};

// Fewer weights than a step.
template<bool floating, bool counting>
HWY_NOINLINE void addRest(const float* w, std::size_t count, const IntegerCodes& codes, const Units& units,
    std::size_t u, float* columns, ErrorSlots* slots, RowSums& sums)
{
    const Wide d;
    const One one;
    constexpr std::size_t n = wideLanes;
    BlockLanes<Wide> lanes(d);
    BlockLanes<One> tail(one);
    HWY_ALIGN float errors[stepLength];
    const auto steps = UnitSteps<Wide>::template of<floating, Clipping::Common>(d, codes, units, u);
    const auto single = UnitSteps<One>::template of<floating, Clipping::Common>(one, codes, units, u);
    std::size_t i = 0;
    for (; i + n <= count; i += n)
        addExactly<floating>(d, w + i, steps, lanes, columns + i, errors + i);
    for (; i < count; ++i)
        addExactly<floating>(one, w + i, single, tail, columns + i, errors + i);
    if constexpr (counting)
        slots->add({errors, count});
    sums.add(d, lanes);
    sums.add(one, tail);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
