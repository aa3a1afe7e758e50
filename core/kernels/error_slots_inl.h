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

#include <array>
#include <cstdint>
#include <span>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights are measured so many at a time, in so many vectors.
constexpr std::size_t stepLength = HWY_MIN(4 * wideLanes, 32), stepVectors = stepLength / wideLanes;

// The slots of the errors of one step, as histogramFill() places values inside the range; the order is of no matter.
HWY_INLINE void storeSlots(const hn::Vec<Wide>* errors, hn::Vec<Wide> low, hn::Vec<Wide> density, std::uint8_t* slots)
{
    const auto position = [&](hn::Vec<Wide> error) HWY_ATTR { return hn::Mul(hn::Sub(error, low), density); };
    // Highway's own conversion defines what happens far outside, for three more instructions; packing saturates.
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
    const auto whole = [&](hn::Vec<Wide> error) HWY_ATTR { return _mm512_cvttps_epi32(position(error).raw); };
    const __m512i both = _mm512_packs_epi32(whole(errors[0]), whole(errors[1]));
    _mm256_store_si256(reinterpret_cast<__m256i*>(slots),
        _mm256_packus_epi16(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1)));
#elif HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
    const auto whole = [&](hn::Vec<Wide> error) HWY_ATTR { return _mm256_cvttps_epi32(position(error).raw); };
    const __m256i first = _mm256_packs_epi32(whole(errors[0]), whole(errors[1]));
    const __m256i second = _mm256_packs_epi32(whole(errors[2]), whole(errors[3]));
    _mm256_store_si256(reinterpret_cast<__m256i*>(slots), _mm256_packus_epi16(first, second));
#else
    const Wide d;
    const hn::RebindToSigned<Wide> words;
    const hn::Rebind<std::uint8_t, Wide> bytes;
    const auto last = hn::Set(d, 255.0F);
    const auto store = [&](hn::Vec<Wide> error, std::size_t at) HWY_ATTR {
        const auto inside = hn::Min(hn::Max(position(error), hn::Zero(d)), last);
        hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(words, inside)), bytes, slots + at);
    };
    for (std::size_t k = 0; k < stepVectors; ++k)
        store(errors[k], k * wideLanes);
#endif
}

// The histogram of one scheme on its way through the rows. A slot is a byte, so that errors outside the range cannot be
// told from the outer bins: whoever meets one has to replace() what was counted.
class ErrorSlots
{
public:
    // The tables gain all that is added once finish() was called. @pre canCount(bins)
    ErrorSlots(const HistogramBins& bins, HistogramTables& tables)
        : m_bins(bins)
        , m_tables(&tables)
        , m_largestSquare(bins.high * bins.high * (1.0F - 0x1p-22F))
    {
        const Wide d;
        hn::Store(hn::Set(d, bins.low), d, m_low);
        hn::Store(hn::Set(d, bins.density()), d, m_density);
        // Nothing waits yet: what the first rounds count is taken off beforehand, below 0 if need be.
        for (std::size_t i = 0; i < waitingSlots; ++i)
            --tables.tables[i % tableCount][1];
    }
    void finish()
    {
        for (std::size_t i = 0; i < waitingSlots; ++i)
            ++m_tables->tables[i % tableCount][1U + m_waiting[i]];
    }

    // Of errors whose squares are no larger all lie inside.
    float largestSquare() const { return m_largestSquare; }
    void add(std::span<const float> errors) { histogramFill(errors, m_bins, *m_tables); }
    // Takes back the slots of the errors of one step, and adds others.
    void replace(const hn::Vec<Wide>* wrong, const hn::Vec<Wide>* right);

private:
    friend class SlotCounter;
    // So that increments of one counter seldom wait for each other: more would not stay near.
    static constexpr std::size_t tableCount = 4;
    // Slots are counted when others take their places: a byte that was stored with others is not to be had for a while.
    static constexpr std::size_t waitingSlots = 256;
    static_assert(waitingSlots % stepLength == 0 && stepLength % tableCount == 0);

    HistogramBins m_bins;
    HistogramTables* m_tables;
    float m_largestSquare;
    HWY_ALIGN float m_low[wideLanes], m_density[wideLanes];
    HWY_ALIGN std::uint8_t m_waiting[waitingSlots] = {};
    std::size_t m_at = 0;  // which come next
};

inline void ErrorSlots::replace(const hn::Vec<Wide>* wrong, const hn::Vec<Wide>* right)
{
    const Wide d;
    HWY_ALIGN std::uint8_t counted[stepLength];
    storeSlots(wrong, hn::Load(d, m_low), hn::Load(d, m_density), counted);
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
        m_tables = of->m_tables->tables.data();
        m_waiting = of->m_waiting;
        m_at = of->m_at;
        m_low = hn::Load(d, of->m_low);
        m_density = hn::Load(d, of->m_density);
    }
    void giveBack(ErrorSlots* to) const
    {
        if (to)
            to->m_at = m_at;
    }

    // What the last step that came here left, a part for each of its vectors.
    HWY_INLINE void countPart(std::size_t part)
    {
        constexpr std::size_t length = wideLanes;
#pragma GCC unroll 16
        for (std::size_t i = part * length; i < (part + 1) * length; ++i)
            ++m_tables[i % ErrorSlots::tableCount][1U + m_waiting[m_at + i]];
    }

    HWY_INLINE void keep(const hn::Vec<Wide>* errors)
    {
        storeSlots(errors, m_low, m_density, m_waiting + m_at);
        m_at = (m_at + stepLength) % ErrorSlots::waitingSlots;
    }

private:
    std::array<std::uint32_t, HistogramTables::slots>* m_tables = nullptr;
    std::uint8_t* m_waiting = nullptr;
    std::size_t m_at = 0;
    hn::Vec<Wide> m_low = hn::Zero(Wide()), m_density = hn::Zero(Wide());
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
