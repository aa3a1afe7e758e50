// SPDX-License-Identifier: GPL-3.0-or-later
// Smallest and largest weights of the pieces of a row. Included once per instruction set.
#if defined(QUANTLOUPE_PIECE_RANGES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_PIECE_RANGES_INL
#undef QUANTLOUPE_PIECE_RANGES_INL
#else
#define QUANTLOUPE_PIECE_RANGES_INL
#endif

#include "core/kernels/ranges.h"
#include "core/kernels/vectors_inl.h"

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights that are summed in float lanes.
constexpr std::size_t blockLength = 1'024;

// Sixteen lanes where there are as many: groups of 32 are two such vectors.
using Wide = hn::CappedTag<float, 16>;
using Eight = hn::CappedTag<float, 8>;
using One = hn::CappedTag<float, 1>;
constexpr std::size_t wideLanes = hn::MaxLanes(Wide()), eightLanes = hn::MaxLanes(Eight());

constexpr bool hasAvx512 = HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86;
// Sums, products and maxima share two units there: what is fused takes one of their turns instead of two.
constexpr bool fusesSums = hasAvx512;
// There are registers there for both: ranges are found while others are measured.
constexpr bool findsBeside = hasAvx512;

// Smallest and largest weight of each lane.
template<class V>
struct RangeLanes {
    V low, high;
};

// Squares in four sums, so that no addition waits for the one before it.
template<class D>
struct SignalLanes {
    hn::Vec<D> a, b, c, e;

    explicit SignalLanes(D d)
        : a(hn::Zero(d))
        , b(a)
        , c(a)
        , e(a)
    {
    }
    // So that two vectors and another two add to the sums that four would.
    HWY_INLINE void turn()
    {
        std::swap(a, c);
        std::swap(b, e);
    }
    double take(D d)
    {
        const double sum = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e)))));
        *this = SignalLanes(d);
        return sum;
    }
};

// Σw² of a row on its way, block by block.
struct BlockSquares {
    double* block;
    SignalLanes<Wide> lanes {Wide()};
    double rest = 0.0;
    std::size_t summed = 0;

    explicit BlockSquares(double* first)
        : block(first)
    {
    }
    void advance(std::size_t weights)
    {
        summed += weights;
        if (summed == blockLength)
            end();
    }
    void end()
    {
        *block++ = rest + lanes.take(Wide());
        rest = 0.0;
        summed = 0;
    }
};

// What is known of weights that lie side by side in one row before any is quantized: the ranges of pieces of equal
// length, which are units of quantization or what several kinds of units are made of.
class PieceRanges
{
public:
    PieceRanges(std::size_t mostWeights, std::size_t piece)
        : m_piece(piece)
        , m_low((mostWeights + piece - 1) / piece + 2 * wideLanes)  // two vectors may reach beyond the last
        , m_high(m_low.size())
        , m_squares((mostWeights + blockLength - 1) / blockLength)
    {
    }
    // From a piece on.
    const float* low(std::size_t piece) const { return m_low.data() + piece; }
    const float* high(std::size_t piece) const { return m_high.data() + piece; }
    // Σw² of each block of 1,024 weights; not finite where a weight is not.
    const double* squares(std::size_t weight) const { return m_squares.data() + weight / blockLength; }

    // What is to be found; the last piece may be shorter.
    void begin(const float* weights, std::size_t count)
    {
        m_weights = weights;
        m_count = count;
        m_found = 0;
    }
    void findRest();

private:
    friend class PieceFinder;
    // Of whole eights of pieces, from piece u on. Returns at which it ended.
    template<std::size_t length>
    std::size_t findEights(std::size_t u, BlockSquares& squares);
    // Of the pieces from u on, of which the lanes are known.
    void finishEight(std::size_t u, const hn::Vec<Eight>* lows, const hn::Vec<Eight>* highs);
    // Of whole pieces, by the definition.
    HWY_NOINLINE inline void findSlowly(std::size_t u, std::size_t end);

    const float* m_weights = nullptr;
    std::size_t m_count = 0, m_found = 0;
    std::size_t m_piece;
    std::vector<float> m_low, m_high;
    std::vector<double> m_squares;
};

// Range of `count` values that fill whole vectors, not none; squares are added to `signal`. As whole numbers, the bits
// of a negative float are larger than those of any positive one, and the larger the farther below 0 it is; with a sign,
// they are smaller than those. So the largest of both kinds tell smallest and largest float where there are weights of
// both signs; else the result has the wrong sign. Multiplication has the units for minima of floats to itself that way.
template<class D, class V = hn::Vec<D>>
HWY_INLINE RangeLanes<V> rangeOfBits(D d, const float* HWY_RESTRICT w, std::size_t count, SignalLanes<D>& signal)
{
    const hn::RebindToSigned<D> di;
    const hn::RebindToUnsigned<D> du;
    const std::size_t n = hn::Lanes(d);
    const V first = loadedOnce(d, w);
    auto low = hn::BitCast(du, first);
    auto high = hn::BitCast(di, first);
    signal.a = hn::MulAdd(first, first, signal.a);
    const auto widen = [&](std::size_t i, V& squares) HWY_ATTR {
        const V v = loadedOnce(d, w + i);
        low = hn::Max(low, hn::BitCast(du, v));
        high = hn::Max(high, hn::BitCast(di, v));
        squares = hn::MulAdd(v, v, squares);
    };
    std::size_t i = n;
    if (count == 2 * n) {
        widen(n, signal.b);
        signal.turn();
        i = count;
    } else if (count >= 4 * n) {
        widen(n, signal.b);
        widen(2 * n, signal.c);
        widen(3 * n, signal.e);
        i = 4 * n;
    }
#pragma GCC unroll 4
    for (; i + 4 * n <= count; i += 4 * n) {
        widen(i, signal.a);
        widen(i + n, signal.b);
        widen(i + 2 * n, signal.c);
        widen(i + 3 * n, signal.e);
    }
    for (; i < count; i += n)
        widen(i, signal.a);
    return {hn::BitCast(d, low), hn::BitCast(d, high)};
}

#if HWY_TARGET != HWY_SCALAR
// Eight lanes, or as many as there are: op over the halves of a vector that has more.
template<class V, class Op>
HWY_INLINE hn::Vec<Eight> inEight(V v, const Op& op)
{
    if constexpr (hn::MaxLanes(hn::DFromV<V>()) > eightLanes)
        return op(hn::LowerHalf(Eight(), v), hn::UpperHalf(Eight(), v));
    else
        return v;
}

// Lane u of the result: op over all lanes of v[u].
template<class D, class V, class Op>
HWY_INLINE V reduceEight(D d, const V* v, const Op& op)
{
    const hn::Repartition<double, D> pairs;
    const auto two = [&](const V& a, const V& b)
                         HWY_ATTR { return op(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)); };
    const auto four = [&](const V& ab, const V& cd) HWY_ATTR {
        const auto x = hn::BitCast(pairs, ab), y = hn::BitCast(pairs, cd);
        return op(hn::BitCast(d, hn::InterleaveLower(pairs, x, y)), hn::BitCast(d, hn::InterleaveUpper(pairs, x, y)));
    };
    const V lower = four(two(v[0], v[1]), two(v[2], v[3]));
    const V upper = four(two(v[4], v[5]), two(v[6], v[7]));
    return op(hn::ConcatLowerLower(d, upper, lower), hn::ConcatUpperUpper(d, upper, lower));
}
#endif

// Of what rangeOfBits() returns.
HWY_INLINE hn::Vec<Eight> leastOfBits(hn::Vec<Eight> a, hn::Vec<Eight> b)
{
    const hn::RebindToUnsigned<Eight> bits;
    return hn::BitCast(Eight(), hn::Max(hn::BitCast(bits, a), hn::BitCast(bits, b)));
}
HWY_INLINE hn::Vec<Eight> mostOfBits(hn::Vec<Eight> a, hn::Vec<Eight> b)
{
    const hn::RebindToSigned<Eight> bits;
    return hn::BitCast(Eight(), hn::Max(hn::BitCast(bits, a), hn::BitCast(bits, b)));
}

// Whether these are what rangeOfBits() promises.
template<class D, class V = hn::Vec<D>>
HWY_INLINE bool haveBothSigns(D /*d*/, V low, V high)
{
    const hn::RebindToSigned<D> di;
    return hn::AllTrue(di, hn::Lt(hn::AndNot(hn::BitCast(di, high), hn::BitCast(di, low)), hn::Zero(di)));
}

// Of a piece that need not fill whole vectors.
inline FiniteRange findRange(const float* HWY_RESTRICT piece, std::size_t count, BlockSquares& squares)
{
    const Wide d;
    const One one;
    const hn::RebindToUnsigned<Wide> du;
    const hn::RebindToSigned<Wide> di;
    const std::size_t n = hn::Lanes(d);
    auto low = hn::Zero(du);
    auto high = hn::Set(di, std::numeric_limits<std::int32_t>::min());
    for (std::size_t start = 0; start < count;) {
        const std::size_t length = HWY_MIN(blockLength - squares.summed, count - start);
        if (length >= n) {
            const auto range = rangeOfBits(d, piece + start, length / n * n, squares.lanes);
            low = hn::Max(low, hn::BitCast(du, range.low));
            high = hn::Max(high, hn::BitCast(di, range.high));
        }
        for (std::size_t i = start + length / n * n; i < start + length; ++i) {
            const auto v = hn::Set(d, piece[i]);
            low = hn::Max(low, hn::BitCast(du, v));
            high = hn::Max(high, hn::BitCast(di, v));
            squares.rest += static_cast<double>(piece[i]) * static_cast<double>(piece[i]);
        }
        start += length;
        squares.advance(length);
    }
    const auto lowest = hn::Set(one, hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(du, low))));
    const auto highest = hn::Set(one, hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, high))));
    if (HWY_UNLIKELY(!haveBothSigns(one, lowest, highest)))
        return rangeOf({piece, count});
    return {hn::GetLane(lowest) + 0.0F, hn::GetLane(highest) + 0.0F};
}

#if HWY_TARGET != HWY_SCALAR
template<std::size_t length>
HWY_NOINLINE std::size_t PieceRanges::findEights(std::size_t u, BlockSquares& squares)
{
    static_assert(blockLength % (8 * length) == 0);
    using Loaded = hn::CappedTag<float, HWY_MIN(length, wideLanes)>;
    for (; (u + 8) * length <= m_count; u += 8) {
        const float* HWY_RESTRICT const at = m_weights + u * length;
        SignalLanes<Loaded> lanes {Loaded()};  // in registers
        if constexpr (length >= wideLanes)
            lanes = squares.lanes;
        hn::Vec<Eight> lows[8], highs[8];
#pragma GCC unroll 1  // else all is loaded before anything is done
        for (std::size_t k = 0; k < 8; ++k) {
            const auto range = rangeOfBits(Loaded(), at + k * length, length, lanes);
            lows[k] = inEight(range.low, leastOfBits);
            highs[k] = inEight(range.high, mostOfBits);
        }
        if constexpr (length >= wideLanes)
            squares.lanes = lanes;
        else
            squares.rest += lanes.take(Loaded());
        squares.advance(8 * length);
        finishEight(u, lows, highs);
    }
    return u;
}

HWY_INLINE void PieceRanges::finishEight(std::size_t u, const hn::Vec<Eight>* lows, const hn::Vec<Eight>* highs)
{
    const Eight d;
    const auto smallest = reduceEight(d, lows, leastOfBits), largest = reduceEight(d, highs, mostOfBits);
    // Adding +0 makes both zeros one.
    hn::StoreU(hn::Add(smallest, hn::Zero(d)), d, m_low.data() + u);
    hn::StoreU(hn::Add(largest, hn::Zero(d)), d, m_high.data() + u);
    if (HWY_UNLIKELY(!haveBothSigns(d, smallest, largest)))
        findSlowly(u, u + 8);
}
#endif

void PieceRanges::findSlowly(std::size_t u, std::size_t end)
{
    for (; u < end; ++u) {
        const auto range = rangeOf({m_weights + u * m_piece, m_piece});
        m_low[u] = range.minimum;
        m_high[u] = range.maximum;
    }
}

inline void PieceRanges::findRest()
{
    if (m_found == m_count)
        return;
    BlockSquares squares(m_squares.data() + m_found / blockLength);
    std::size_t u = m_found / m_piece;
#if HWY_TARGET != HWY_SCALAR
    if constexpr (eightLanes == 8) {
        switch (m_piece) {
        case 8: u = findEights<8>(u, squares); break;
        case 16: u = findEights<16>(u, squares); break;
        case 32: u = findEights<32>(u, squares); break;
        case 64: u = findEights<64>(u, squares); break;
        case 128: u = findEights<128>(u, squares); break;
        default: break;
        }
    }
#endif
    for (std::size_t at = u * m_piece; at < m_count; at += m_piece, ++u) {
        const auto range = findRange(m_weights + at, HWY_MIN(m_piece, m_count - at), squares);
        m_low[u] = range.minimum;
        m_high[u] = range.maximum;
    }
    if (squares.summed > 0)
        squares.end();
    m_found = m_count;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
