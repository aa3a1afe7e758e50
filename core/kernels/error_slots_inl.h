// SPDX-License-Identifier: GPL-3.0-or-later
// The histogram of errors while they are made. Included once per instruction set.
#if defined(QUANTLOUPE_ERROR_SLOTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_ERROR_SLOTS_INL
#undef QUANTLOUPE_ERROR_SLOTS_INL
#else
#define QUANTLOUPE_ERROR_SLOTS_INL
#endif

#include "core/kernels/histogram_counts.h"
#include "core/kernels/integer_units_inl.h"

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights are measured so many at a time, in so many vectors.
constexpr std::size_t stepLength = HWY_MIN(4 * wideLanes, 32), stepVectors = stepLength / wideLanes;

// Places in the histogram, as histogramFill() finds them inside the range; anything outside it. Highway's own
// conversion defines what happens far outside, for three more instructions; packing saturates.
struct SlotPlaces {
    hn::Vec<Wide> low, density;

#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
    HWY_INLINE auto whole(hn::Vec<Wide> error) const
    {
        const auto place = hn::Mul(hn::Sub(error, low), density);
#if HWY_TARGET <= HWY_AVX3
        return _mm512_cvttps_epi32(place.raw);
#else
        return _mm256_cvttps_epi32(place.raw);
#endif
    }
#endif
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
    // Of one step, in any order. By value: what is no array stays in registers.
    HWY_INLINE void store(hn::Vec<Wide> a, hn::Vec<Wide> b, std::uint8_t* slots) const
    {
        const __m512i both = _mm512_packs_epi32(whole(a), whole(b));
        _mm256_store_si256(reinterpret_cast<__m256i*>(slots),
            _mm256_packus_epi16(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1)));
    }
#endif
    HWY_INLINE void store(const hn::Vec<Wide>* errors, std::uint8_t* slots) const
    {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
        store(errors[0], errors[1], slots);
#elif HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
        const __m256i first = _mm256_packs_epi32(whole(errors[0]), whole(errors[1]));
        const __m256i second = _mm256_packs_epi32(whole(errors[2]), whole(errors[3]));
        _mm256_store_si256(reinterpret_cast<__m256i*>(slots), _mm256_packus_epi16(first, second));
#else
        const Wide d;
        const hn::RebindToSigned<Wide> words;
        const hn::Rebind<std::uint8_t, Wide> bytes;
        const auto last = hn::Set(d, 255.0F);
        for (std::size_t k = 0; k < stepVectors; ++k) {
            const auto place = hn::Mul(hn::Sub(errors[k], low), density);
            const auto inside = hn::Min(hn::Max(place, hn::Zero(d)), last);
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(words, inside)), bytes, slots + k * wideLanes);
        }
#endif
    }
};

// The histogram of one scheme on its way through the rows. A slot is a byte, so that errors outside the range cannot be
// told from the outer bins: whoever meets one has to replace() what was counted.
class ErrorSlots
{
public:
    // The tables gain all that is added once finish() was called. @pre canCount(bins)
    ErrorSlots(const HistogramBins& bins, HistogramTables& tables)
        : m_bins(bins)
        , m_tables(&tables)
        , m_largestSquare(bins.high < 0x1p-60F ? -1.0F : bins.high * bins.high * (1.0F - 0x1p-22F))
    {
        const Wide d;
        hn::Store(hn::Set(d, bins.low), d, m_low);
        hn::Store(hn::Set(d, bins.density()), d, m_density);
    }
    void finish()
    {
        flush();
        for (std::size_t i = 0; i < waitingSlots; ++i)
            ++m_tables->tables[i % tableCount][1U + m_waiting[i]];
        // Before anything waited, the first rounds counted what was there.
        for (std::size_t t = 0; t < tableCount; ++t)
            m_tables->tables[t][1] -= waitingSlots / tableCount;
    }

    // Of errors whose squares are no larger all lie inside: none, where squares are too small to tell.
    float largestSquare() const { return m_largestSquare; }
    void add(std::span<const float> errors) { histogramFill(errors, m_bins, *m_tables); }
    // Takes back the slots of the errors of one step, and adds others.
    void replace(const hn::Vec<Wide>* wrong, const hn::Vec<Wide>* right);
    // Before so many more are counted. @pre at most a block
    HWY_INLINE void makeRoom(std::size_t errors)
    {
        static_assert(blockLength <= mostCounted);
        m_counted += errors;
        if (HWY_UNLIKELY(m_counted > mostCounted)) {
            flush();
            m_counted = errors;
        }
    }

private:
    friend class SlotCounter;
    // So that increments of one counter seldom wait for each other. In 16 bits, for the fewer lines of the cache are
    // written to, the better writing keeps up; and side by side, so that none lies 4 KiB from another: processors take
    // such for the same at first.
    static constexpr std::uint32_t tableCount = HistogramTables::count, binCount = 256;
    static constexpr std::size_t mostCounted = std::size_t(tableCount) * std::numeric_limits<std::uint16_t>::max();
    // Slots are counted when others take their places: a byte that was stored with others is not to be had for a while.
    static constexpr std::uint32_t waitingSlots = 256;
    static_assert(waitingSlots % stepLength == 0 && stepLength % tableCount == 0);

    // Into the tables of the caller.
    HWY_NOINLINE inline void flush();

    HistogramBins m_bins;
    HistogramTables* m_tables;
    float m_largestSquare;
    HWY_ALIGN float m_low[wideLanes], m_density[wideLanes];
    HWY_ALIGN std::uint8_t m_waiting[waitingSlots] = {};
    HWY_ALIGN std::uint16_t m_counts[tableCount][binCount] = {};
    std::size_t m_at = 0;       // which come next
    std::size_t m_counted = 0;  // in m_counts
};

void ErrorSlots::flush()
{
    const hn::RebindToUnsigned<Wide> d;
    const hn::Rebind<std::uint16_t, decltype(d)> narrow;
    for (std::size_t t = 0; t < tableCount; ++t) {
        std::uint32_t* to = m_tables->tables[t].data() + 1;
        for (std::size_t i = 0; i < binCount; i += wideLanes) {
            const auto counted = hn::PromoteTo(d, hn::Load(narrow, m_counts[t] + i));
            hn::StoreU(hn::Add(hn::LoadU(d, to + i), counted), d, to + i);
        }
    }
    std::memset(m_counts, 0, sizeof m_counts);
}

inline void ErrorSlots::replace(const hn::Vec<Wide>* wrong, const hn::Vec<Wide>* right)
{
    const Wide d;
    HWY_ALIGN std::uint8_t counted[stepLength];
    SlotPlaces {hn::Load(d, m_low), hn::Load(d, m_density)}.store(wrong, counted);
    for (std::size_t i = 0; i < stepLength; ++i)
        --m_tables->tables[i % tableCount][1U + counted[i]];
    HWY_ALIGN float errors[stepLength];
    for (std::size_t k = 0; k < stepVectors; ++k)
        hn::Store(right[k], d, errors + k * wideLanes);
    add(errors);
}

// What counting needs at hand, to be kept in registers while a stretch is measured: counting waits for memory,
// measuring for arithmetic.
class SlotCounter
{
public:
    explicit SlotCounter(ErrorSlots* of)
    {
        if (!of)
            return;
        const Wide d;
        m_counts = of->m_counts;
        m_waiting = of->m_waiting;
        m_at = of->m_at;
        m_places = {hn::Load(d, of->m_low), hn::Load(d, of->m_density)};
    }
    void giveBack(ErrorSlots* to) const
    {
        if (to)
            to->m_at = m_at;
    }

    // What the last step that came here left, a part for each of its vectors. @pre there is room
    HWY_INLINE void countPart(std::size_t part)
    {
        constexpr std::size_t length = wideLanes;
#pragma GCC unroll 16
        for (std::size_t i = part * length; i < (part + 1) * length; ++i)
            ++m_counts[i % ErrorSlots::tableCount][m_waiting[m_at + i]];
    }

    // The errors of a step: two vectors, or an array of them.
    template<class... Errors>
    HWY_INLINE void keep(const Errors&... errors)
    {
        m_places.store(errors..., m_waiting + m_at);
        m_at = (m_at + stepLength) % ErrorSlots::waitingSlots;
    }

private:
    std::uint16_t (*m_counts)[ErrorSlots::binCount] = nullptr;
    std::uint8_t* m_waiting = nullptr;
    std::size_t m_at = 0;
    SlotPlaces m_places {hn::Zero(Wide()), hn::Zero(Wide())};
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
