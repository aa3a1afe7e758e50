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

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Counts the errors of four vectors while the next four are worked on: counting waits for memory, measuring for
// arithmetic. A slot is a byte, so that errors outside the range cannot be told from the outer bins: whoever meets one
// has to replace() what was counted.
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
        // There is nothing to count yet: what the first rounds count is taken off beforehand, below 0 if need be.
        std::memset(m_pending, 0, sizeof m_pending);
        count<Way::Less>(m_pending, 0, errorsAtOnce);
    }
    void finish() { count<Way::More>(m_pending, 0, errorsAtOnce); }

    // Of errors whose squares are no larger all lie inside.
    float largestSquare() const { return m_largestSquare; }

    // What the last four vectors left, in two halves.
    HWY_INLINE void countFirstHalf() { count<Way::More>(m_pending, 0, errorsAtOnce / 2); }
    HWY_INLINE void countSecondHalf(hn::Vec<Wide> a, hn::Vec<Wide> b, hn::Vec<Wide> c, hn::Vec<Wide> e)
    {
        count<Way::More>(m_pending, errorsAtOnce / 2, errorsAtOnce);
        storeSlots(a, b, c, e, m_pending);
    }

    // Takes back the slots of four vectors of errors, and adds others.
    void replace(const hn::Vec<Wide>* wrong, const hn::Vec<Wide>* right)
    {
        const Wide d;
        HWY_ALIGN std::uint8_t counted[errorsAtOnce];
        storeSlots(wrong[0], wrong[1], wrong[2], wrong[3], counted);
        count<Way::Less>(counted, 0, errorsAtOnce);
        HWY_ALIGN float errors[errorsAtOnce];
        for (std::size_t k = 0; k < 4; ++k)
            hn::Store(right[k], d, errors + k * wideLanes);
        add(errors);
    }
    void add(std::span<const float> errors) { histogramFill(errors, m_bins, *m_tables); }

private:
    static constexpr std::size_t errorsAtOnce = 4 * wideLanes;
    enum class Way { More, Less };

    template<Way way>
    HWY_INLINE void count(const std::uint8_t* slots, std::size_t begin, std::size_t end)
    {
        // Four tables, so that increments of one counter seldom wait for each other: more would not stay near. By an
        // error's place, so that it is taken back where it was counted.
        auto& tables = m_tables->tables;
#pragma GCC unroll 16
        for (std::size_t i = begin; i < end; ++i) {
            auto& counter = tables[i % 4][1U + slots[i]];
            if constexpr (way == Way::More)
                ++counter;
            else
                --counter;
        }
    }

    // As histogramFill() places values inside the range; the order of the bytes is of no matter.
    HWY_INLINE void storeSlots(
        hn::Vec<Wide> a, hn::Vec<Wide> b, hn::Vec<Wide> c, hn::Vec<Wide> e, std::uint8_t* slots) const
    {
        const Wide d;
        const auto low = hn::Load(d, m_low), density = hn::Load(d, m_density);
        const auto position = [&](hn::Vec<Wide> error) HWY_ATTR { return hn::Mul(hn::Sub(error, low), density); };
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
        // Highway's own conversion defines what happens far outside, for three more instructions; packing saturates.
        const auto whole = [&](hn::Vec<Wide> error) HWY_ATTR { return _mm256_cvttps_epi32(position(error).raw); };
        const __m256i first = _mm256_packs_epi32(whole(a), whole(b)), second = _mm256_packs_epi32(whole(c), whole(e));
        _mm256_store_si256(reinterpret_cast<__m256i*>(slots), _mm256_packus_epi16(first, second));
#else
        const hn::RebindToSigned<Wide> words;
        const hn::Rebind<std::uint8_t, Wide> bytes;
        const auto last = hn::Set(d, static_cast<float>(m_bins.bins - 1));
        const auto store = [&](hn::Vec<Wide> error, std::size_t at) HWY_ATTR {
            const auto inside = hn::Min(hn::Max(position(error), hn::Zero(d)), last);
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(words, inside)), bytes, slots + at);
        };
        store(a, 0);
        store(b, wideLanes);
        store(c, 2 * wideLanes);
        store(e, 3 * wideLanes);
#endif
    }

    HistogramBins m_bins;
    HistogramTables* m_tables;
    float m_largestSquare;
    HWY_ALIGN float m_low[wideLanes], m_density[wideLanes];
    HWY_ALIGN std::uint8_t m_pending[errorsAtOnce];
};

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
