// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernels of ggml's blocks share, once for each instruction set: up to eight blocks side by side in the lanes,
// each in the order of operations of ggml_fits.h.
#if defined(QUANTLOUPE_GGML_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_LANES_INL_H
#undef QUANTLOUPE_GGML_LANES_INL_H
#else
#define QUANTLOUPE_GGML_LANES_INL_H
#endif

#include "core/kernels/ggml_fits.h"
#include "core/kernels/ggml_layouts.h"

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::ggml::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 8>;
using Integers = hn::RebindToSigned<Floats>;
using Unsigneds = hn::RebindToUnsigned<Floats>;
using V = hn::Vec<Floats>;
using VI = hn::Vec<Integers>;
using VU = hn::Vec<Unsigneds>;
using M = hn::Mask<Floats>;

// Blocks side by side: 1, 4 or 8.
inline constexpr std::size_t kLanes = hn::MaxLanes(Floats());
static_assert(kLanes == 1 || kLanes == 4 || kLanes == 8);

HWY_INLINE V set(float value)
{
    return hn::Set(Floats(), value);
}

// finiteWeight(), lane by lane.
HWY_INLINE V finiteWeights(V weight)
{
    const M finite = hn::Le(hn::Abs(weight), set(std::numeric_limits<float>::max()));
    const V limited = hn::Min(hn::Max(weight, set(-kLargestWeight)), set(kLargestWeight));
    return hn::IfThenElseZero(finite, limited);
}

// nearestInteger(), lane by lane, in every bit.
HWY_INLINE VI nearestIntegers(V value)
{
    const Integers di;
    const VI bits = hn::BitCast(di, hn::Add(value, set(12582912.0F)));
    return hn::Sub(hn::And(bits, hn::Set(di, 0x7fffff)), hn::Set(di, 0x400000));
}

// The same for |value| < 2²² alone, as floats; −0 does not occur.
HWY_INLINE V nearestSmall(V value)
{
    const V magic = set(12582912.0F);
    return hn::Sub(hn::Add(value, magic), magic);
}

// finiteReciprocal(), lane by lane.
HWY_INLINE V finiteReciprocals(V scale)
{
    const V reciprocal = hn::Div(set(1.0F), scale);
    return hn::IfThenElseZero(hn::Le(hn::Abs(reciprocal), set(std::numeric_limits<float>::max())), reciprocal);
}

// saturatedHalf(), lane by lane.
HWY_INLINE VU saturatedHalves(V value)
{
    const Floats d;
    const Integers di;
    const Unsigneds du;
    const auto below = [=](VU bits, std::uint32_t limit) HWY_ATTR {  // no sign bit is set
        return hn::MaskFromVec(
            hn::BitCast(du, hn::VecFromMask(di, hn::Lt(hn::BitCast(di, bits), hn::BitCast(di, hn::Set(du, limit))))));
    };
    const VU bits = hn::BitCast(du, value);
    const VU magnitude = hn::And(bits, hn::Set(du, 0x7fffffffU));
    const VU sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000U));
    const VU odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1U));
    const VU normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, odd), hn::Set(du, 0xfffU - 0x38000000U)));
    const V sum = hn::Add(hn::BitCast(d, magnitude), set(0.5F));
    const VU subnormal = hn::Sub(hn::BitCast(du, sum), hn::Set(du, 0x3f000000U));
    const VU large = hn::IfThenElse(below(magnitude, 0x477ff000U), normal, hn::Set(du, 0x7bffU));
    const VU half = hn::Or(hn::IfThenElse(below(magnitude, 0x38800000U), subnormal, large), sign);
    return hn::IfThenElseZero(below(magnitude, 0x7f800001U), half);
}

// Rows become columns.
HWY_INLINE void transpose([[maybe_unused]] V (&rows)[kLanes])
{
#if HWY_TARGET != HWY_SCALAR
    const Floats d;
    const hn::RepartitionToWide<Floats> wide;
    V pairs[kLanes], quads[kLanes];
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < kLanes; i += 2) {
        pairs[i] = hn::InterleaveLower(d, rows[i], rows[i + 1]);
        pairs[i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + 1]);
    }
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < kLanes; i += 4)
        HWY_UNROLL(8)
    for (std::size_t k = 0; k < 2; ++k) {
        const auto first = hn::BitCast(wide, pairs[i + k]);
        const auto second = hn::BitCast(wide, pairs[i + 2 + k]);
        quads[i + 2 * k] = hn::BitCast(d, hn::InterleaveLower(wide, first, second));
        quads[i + 2 * k + 1] = hn::BitCast(d, hn::InterleaveUpper(wide, first, second));
    }
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < 4; ++i)
        if constexpr (kLanes == 8) {
            rows[i] = hn::ConcatLowerLower(d, quads[i + 4], quads[i]);
            rows[i + 4] = hn::ConcatUpperUpper(d, quads[i + 4], quads[i]);
        } else {
            rows[i] = quads[i];
        }
#endif
}

// The sum of finite squares of each of `count` runs that lie `stride` floats apart, left to right.
inline void sumsOfSquares(
    const float* runs, std::size_t stride, std::size_t count, std::size_t length, float* HWY_RESTRICT sums)
{
    const Floats d;
    for (std::size_t first = 0; first < count; first += kLanes) {
        V sum = hn::Zero(d);
        for (std::size_t at = 0; at < length; at += kLanes) {
            V values[kLanes];
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                const std::size_t run = HWY_MIN(first + lane, count - 1);
                values[lane] = finiteWeights(hn::LoadU(d, runs + run * stride + at));
            }
            transpose(values);
            for (const V& value : values)
                sum = hn::Add(sum, hn::Mul(value, value));
        }
        HWY_ALIGN float all[kLanes];
        hn::Store(sum, d, all);
        for (std::size_t lane = 0; lane < HWY_MIN(kLanes, count - first); ++lane)
            sums[first + lane] = all[lane];
    }
}

// kLanes groups of 32 weights side by side, with what each error weighs.
struct Groups {
    HWY_ALIGN float plain[kLanes * kGroup];   // one group after the other, finite
    HWY_ALIGN float values[kGroup * kLanes];  // the first weight of each group, the second, …
    HWY_ALIGN float weights[kGroup * kLanes];

    // Where there are fewer than kLanes, the rest is zero.
    void load(const float* source, std::size_t count)
    {
        const Floats d;
        for (std::size_t i = 0; i < count * kGroup; i += kLanes)
            hn::Store(finiteWeights(hn::LoadU(d, source + i)), d, plain + i);
        for (std::size_t i = count * kGroup; i < kLanes * kGroup; i += kLanes)
            hn::Store(hn::Zero(d), d, plain + i);
        spread(plain, values);
    }

    // importance·√(meanSquare + value²) · importance of group i at importance + offsets[i]
    void weigh(const float* importance, const std::size_t* offsets, const float* meanSquares)
    {
        const Floats d;
        HWY_ALIGN float own[kLanes * kGroup];
        for (std::size_t lane = 0; lane < kLanes; ++lane)
            for (std::size_t i = 0; i < kGroup; i += kLanes) {
                const V value = hn::Load(d, plain + lane * kGroup + i);
                const V root = hn::Sqrt(hn::Add(set(meanSquares[lane]), hn::Mul(value, value)));
                const V weight = hn::Mul(hn::LoadU(d, importance + offsets[lane] + i), root);
                hn::Store(weight, d, own + lane * kGroup + i);
            }
        spread(own, weights);
    }

    // value²
    void weighBySquares()
    {
        const Floats d;
        for (std::size_t i = 0; i < kGroup * kLanes; i += kLanes) {
            const V value = hn::Load(d, values + i);
            hn::Store(hn::Mul(value, value), d, weights + i);
        }
    }

    V value(std::size_t i) const { return hn::Load(Floats(), values + i * kLanes); }
    V weight(std::size_t i) const { return hn::Load(Floats(), weights + i * kLanes); }

    // extremeOf(), lane by lane
    V extreme() const
    {
        V extreme = hn::Zero(Floats());
        for (std::size_t i = 0; i < kGroup; ++i)
            extreme = hn::IfThenElse(hn::Gt(hn::Abs(value(i)), hn::Abs(extreme)), value(i), extreme);
        return extreme;
    }

private:
    static void spread(const float* HWY_RESTRICT from, float* HWY_RESTRICT to)
    {
        const Floats d;
        for (std::size_t at = 0; at < kGroup; at += kLanes) {
            V rows[kLanes];
            for (std::size_t lane = 0; lane < kLanes; ++lane)
                rows[lane] = hn::Load(d, from + lane * kGroup + at);
            transpose(rows);
            for (std::size_t i = 0; i < kLanes; ++i)
                hn::Store(rows[i], d, to + (at + i) * kLanes);
        }
    }
};

// A whole number 0 … 255 as the lowest byte of its lane; the two above it are zero.
HWY_INLINE VU wholeByte(V whole)
{
    return hn::BitCast(Unsigneds(), hn::Add(whole, set(8388608.0F)));
}

// Sixteen bytes, the lowest of each lane, as wholeByte() leaves them.
HWY_INLINE void storeSixteen(const VU (&bytes)[16 / kLanes], std::byte* at)
{
#if HWY_TARGET == HWY_SCALAR
    for (std::size_t i = 0; i < 16; ++i)
        at[i] = static_cast<std::byte>(hn::GetLane(bytes[i]) & 0xffU);
#else
    const hn::Repartition<std::uint8_t, Unsigneds> narrow;
    auto* to = reinterpret_cast<std::uint8_t*>(at);
    if constexpr (kLanes == 8) {
        HWY_ALIGN static constexpr std::uint8_t kOrder[16] = {0, 4, 8, 12, 2, 6, 10, 14};
        const VU both = hn::Or(bytes[0], hn::ShiftLeft<16>(bytes[1]));
        const auto ordered = hn::TableLookupBytes(hn::BitCast(narrow, both), hn::LoadDup128(narrow, kOrder));
        const hn::Half<Unsigneds> half;
        const VU words = hn::BitCast(Unsigneds(), ordered);
        const auto merged = hn::InterleaveLower(half, hn::LowerHalf(half, words), hn::UpperHalf(half, words));
        hn::StoreU(hn::BitCast(hn::Half<decltype(narrow)>(), merged), hn::Half<decltype(narrow)>(), to);
    } else {
        HWY_ALIGN static constexpr std::uint8_t kOrder[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
        const VU lower = hn::Or(hn::And(bytes[0], hn::Set(Unsigneds(), 0xffU)), hn::ShiftLeft<8>(bytes[1]));
        const VU all = hn::Or(lower, hn::Or(hn::ShiftLeft<16>(bytes[2]), hn::ShiftLeft<24>(bytes[3])));
        hn::StoreU(hn::TableLookupBytes(hn::BitCast(narrow, all), hn::LoadDup128(narrow, kOrder)), narrow, to);
    }
#endif
}

// 32 weights as sixteen bytes: byteOf(a weight of the first half, its partner of the second) → VU.
template<class ByteOf>
HWY_INLINE void storePairs(const float* values, std::byte* at, const ByteOf& byteOf)
{
    const Floats d;
    VU bytes[16 / kLanes];
    HWY_UNROLL(4)
    for (std::size_t i = 0; i < 16 / kLanes; ++i)
        bytes[i] = byteOf(hn::LoadU(d, values + i * kLanes), hn::LoadU(d, values + 16 + i * kLanes));
    storeSixteen(bytes, at);
}

// Codes ≥ 16 as bits; they lose 16.
HWY_INLINE std::uint32_t takeFifthBits(V& codes)
{
    const Floats d;
    std::uint8_t bits[8] = {};
    const M upper = hn::Ge(codes, set(16.0F));
    hn::StoreMaskBits(d, upper, bits);
    codes = hn::Sub(codes, hn::IfThenElseZero(upper, set(16.0F)));
    return bits[0];
}

// The codes of 32 weights of q4_0, q4_1, q5_0, q5_1; codeOf: V → V, whole.
template<class CodeOf>
HWY_INLINE void storeLegacyCodes(const float* values, const LegacyLayout& layout, std::byte* out, const CodeOf& codeOf)
{
    const Floats d;
    VU bytes[16 / kLanes];
    std::uint32_t fifth = 0;
    HWY_UNROLL(4)
    for (std::size_t i = 0; i < 16 / kLanes; ++i) {
        V low = codeOf(hn::LoadU(d, values + i * kLanes));
        V high = codeOf(hn::LoadU(d, values + 16 + i * kLanes));
        if (layout.hasFifthBit)
            fifth |= takeFifthBits(low) << i * kLanes | takeFifthBits(high) << (16 + i * kLanes);
        bytes[i] = wholeByte(hn::MulAdd(high, set(16.0F), low));  // exact, fused or not
    }
    storeSixteen(bytes, out + layout.nibbles());
    if (layout.hasFifthBit) {
        storeHalf(out + layout.fifthBits(), static_cast<std::uint16_t>(fifth & 0xffffU));
        storeHalf(out + layout.fifthBits() + 2, static_cast<std::uint16_t>(fifth >> 16U));
    }
}

// 16 bytes of nibbles as codes, the first half and the second: use(index of the first weight, VU).
template<class Use>
HWY_INLINE void forNibbleCodes(const std::byte* at, const Use& use)
{
    const Unsigneds du;
    const hn::Rebind<std::uint8_t, Unsigneds> narrow;
    HWY_UNROLL(4)
    for (std::size_t i = 0; i < 16; i += kLanes) {
        const auto bytes = hn::LoadU(narrow, reinterpret_cast<const std::uint8_t*>(at) + i);
        const VU wide = hn::PromoteTo(du, bytes);
        use(i, hn::And(wide, hn::Set(du, 0xfU)));
        use(16 + i, hn::ShiftRight<4>(wide));
    }
}

}  // namespace quantloupe::kernels::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
