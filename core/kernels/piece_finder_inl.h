// SPDX-License-Identifier: GPL-3.0-or-later
// Ranges of the pieces of a row, found while others are measured. Included once per instruction set.
#if defined(QUANTLOUPE_PIECE_FINDER_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_PIECE_FINDER_INL
#undef QUANTLOUPE_PIECE_FINDER_INL
#else
#define QUANTLOUPE_PIECE_FINDER_INL
#endif

#include "core/kernels/piece_ranges_inl.h"

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Nothing is found.
struct NoFinder {
    static constexpr int locality = 2;  // what is fetched meanwhile is for the second-level cache
    HWY_INLINE void add(bool /*begins*/) { }
    HWY_INLINE void endPiece() { }
    HWY_INLINE void endBlock() { }
};

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// The ranges of the pieces of one block, two vectors at a time between other work: as PieceRanges::findRest() finds
// them, sum for sum. Fetching from memory never stands still that way, and what one of them waits for, the other does
// not.
class PieceFinder
{
public:
    static constexpr int locality = 3;  // for the first-level cache
    // Whether the next block of these can be found so, in pieces of so many weights. @pre at least 32
    static bool fits(const PieceRanges* ranges, std::size_t piece)
    {
        return ranges && ranges->m_piece == piece && ranges->m_found + blockLength <= ranges->m_count;
    }
    // Lanes of the bounds of a block's pieces. Apart, for what is not an array is to stay in registers.
    struct Kept {
        alignas(64) std::uint32_t bounds[blockLength / 32 * wideLanes];
    };
    // @pre fits()
    PieceFinder(PieceRanges* ranges, Kept& kept)
        : m_ranges(ranges)
        , m_at(ranges->m_weights + ranges->m_found)
        , m_kept(kept.bounds)
        , m_low(_mm512_setzero_si512())
        , m_high(m_low)
        , m_lanes(Wide())
    {
    }

    // The next two vectors, the first of a piece if `begins`.
    HWY_INLINE void add(bool begins)
    {
        const Wide d;
        const auto v = loadedOnce(d, m_at), w = loadedOnce(d, m_at + wideLanes);
        const __m512i a = _mm512_castps_si512(v.raw), b = _mm512_castps_si512(w.raw);
        const __m512i low = _mm512_max_epu32(a, b), high = _mm512_max_epi32(a, b);
        m_low = begins ? low : _mm512_max_epu32(m_low, low);
        m_high = begins ? high : _mm512_max_epi32(m_high, high);
        m_lanes.a = hn::MulAdd(v, v, m_lanes.a);
        m_lanes.b = hn::MulAdd(w, w, m_lanes.b);
        m_lanes.turn();
        m_at += 2 * wideLanes;
    }
    // After the last of a piece: keeps eight lanes of each bound. The largest of either is the largest unsigned number
    // once the sign of the upper is turned.
    HWY_INLINE void endPiece()
    {
        const __m512i high = _mm512_xor_si512(m_high, _mm512_set1_epi32(INT32_MIN));
        _mm512_store_si512(m_kept + m_count,
            _mm512_max_epu32(
                _mm512_shuffle_i64x2(m_low, high, 0b01'00'01'00), _mm512_shuffle_i64x2(m_low, high, 0b11'10'11'10)));
        m_count += wideLanes;
    }
    HWY_INLINE void endBlock()
    {
        m_ranges->m_squares[m_ranges->m_found / blockLength] = m_lanes.take(Wide());
        const std::size_t first = m_ranges->m_found / m_ranges->m_piece;
        for (std::size_t u = 0; u < m_count / wideLanes; u += 8)
            finishEight(first + u, m_kept + u * wideLanes);
        m_ranges->m_found += blockLength;
    }

private:
    // Of the pieces from u on, of which lanes were kept.
    HWY_INLINE void finishEight(std::size_t u, const std::uint32_t* kept)
    {
        const auto load = [&](std::size_t k) HWY_ATTR { return _mm512_load_si512(kept + k * wideLanes); };
        const auto two = [&](std::size_t k) HWY_ATTR {
            const __m512i a = load(k), b = load(k + 1);
            return _mm512_max_epu32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        };
        const auto four = [&](std::size_t k) HWY_ATTR {
            const __m512i ab = two(k), cd = two(k + 2);
            return _mm512_max_epu32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        };
        const __m512i lower = four(0), upper = four(4);
        const __m512i mixed = _mm512_max_epu32(
            _mm512_shuffle_i32x4(lower, upper, 0b10'00'10'00), _mm512_shuffle_i32x4(lower, upper, 0b11'01'11'01));
        const __m512i turned = _mm512_shuffle_i32x4(mixed, mixed, 0b11'01'10'00);
        const __m512i bounds = _mm512_mask_xor_epi32(turned, 0xFF00, turned, _mm512_set1_epi32(INT32_MIN));
        // Adding +0 makes both zeros one.
        const __m512 found = _mm512_add_ps(_mm512_castsi512_ps(bounds), _mm512_setzero_ps());
        _mm256_storeu_ps(m_ranges->m_low.data() + u, _mm512_castps512_ps256(found));
        _mm256_storeu_ps(m_ranges->m_high.data() + u, _mm512_extractf32x8_ps(found, 1));
        // Only weights of both signs tell the smallest and the largest (rangeOfBits()).
        if (HWY_UNLIKELY(_mm512_movepi32_mask(bounds) != 0x00FF))
            m_ranges->findSlowly(u, u + 8);
    }

    PieceRanges* m_ranges;
    const float* m_at;
    std::uint32_t* m_kept;
    std::size_t m_count = 0;  // of what is kept
    __m512i m_low, m_high;
    SignalLanes<Wide> m_lanes;
};
#else
// Nothing fits.
class PieceFinder : public NoFinder
{
public:
    struct Kept {
    };
    PieceFinder(PieceRanges* /*ranges*/, Kept& /*kept*/) { }
    static bool fits(const PieceRanges* /*ranges*/, std::size_t /*piece*/) { return false; }
};
#endif

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
