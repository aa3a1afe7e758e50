// SPDX-License-Identifier: GPL-3.0-or-later
// Vectors for ggml's k-quants: one group of weights per lane, so that each sum runs in the order of the reference.
// Included once per instruction set, after hwy/foreach_target.h; in a namespace of its own, as names in one instruction
// set are shared by all files.
#if defined(QUANTLOUPE_GGML_K_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTLOUPE_GGML_K_LANES_INL_H
#undef QUANTLOUPE_GGML_K_LANES_INL_H
#else
#define QUANTLOUPE_GGML_K_LANES_INL_H
#endif

#include "core/kernels/ggml_fits.h"

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE::k_quants {
namespace hn = hwy::HWY_NAMESPACE;

// Sixteen lanes at most: as many as the shortest group has weights.
using FloatLanes = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatLanes>;
using FloatMask = hn::Mask<FloatLanes>;
inline constexpr std::size_t kLanes = hn::MaxLanes(FloatLanes());

// Two vectors that go the same way: their operations fill each other's waiting times.
template<class T>
struct Twin {
    T a, b;
};
using TwinVector = Twin<FloatVector>;
using TwinMask = Twin<FloatMask>;

// Unqualified calls find these for twins and Highway's own for single vectors.
HWY_INLINE TwinVector Add(TwinVector x, TwinVector y)
{
    return {hn::Add(x.a, y.a), hn::Add(x.b, y.b)};
}
HWY_INLINE TwinVector Sub(TwinVector x, TwinVector y)
{
    return {hn::Sub(x.a, y.a), hn::Sub(x.b, y.b)};
}
HWY_INLINE TwinVector Mul(TwinVector x, TwinVector y)
{
    return {hn::Mul(x.a, y.a), hn::Mul(x.b, y.b)};
}
HWY_INLINE TwinVector Div(TwinVector x, TwinVector y)
{
    return {hn::Div(x.a, y.a), hn::Div(x.b, y.b)};
}
HWY_INLINE TwinVector Min(TwinVector x, TwinVector y)
{
    return {hn::Min(x.a, y.a), hn::Min(x.b, y.b)};
}
HWY_INLINE TwinVector Max(TwinVector x, TwinVector y)
{
    return {hn::Max(x.a, y.a), hn::Max(x.b, y.b)};
}
HWY_INLINE TwinVector Abs(TwinVector x)
{
    return {hn::Abs(x.a), hn::Abs(x.b)};
}
HWY_INLINE TwinVector Sqrt(TwinVector x)
{
    return {hn::Sqrt(x.a), hn::Sqrt(x.b)};
}
HWY_INLINE TwinMask Lt(TwinVector x, TwinVector y)
{
    return {hn::Lt(x.a, y.a), hn::Lt(x.b, y.b)};
}
HWY_INLINE TwinMask Le(TwinVector x, TwinVector y)
{
    return {hn::Le(x.a, y.a), hn::Le(x.b, y.b)};
}
HWY_INLINE TwinMask Gt(TwinVector x, TwinVector y)
{
    return {hn::Gt(x.a, y.a), hn::Gt(x.b, y.b)};
}
HWY_INLINE TwinMask Eq(TwinVector x, TwinVector y)
{
    return {hn::Eq(x.a, y.a), hn::Eq(x.b, y.b)};
}
HWY_INLINE TwinMask Ne(TwinVector x, TwinVector y)
{
    return {hn::Ne(x.a, y.a), hn::Ne(x.b, y.b)};
}
HWY_INLINE TwinMask And(TwinMask x, TwinMask y)
{
    return {hn::And(x.a, y.a), hn::And(x.b, y.b)};
}
HWY_INLINE TwinVector IfThenElse(TwinMask m, TwinVector x, TwinVector y)
{
    return {hn::IfThenElse(m.a, x.a, y.a), hn::IfThenElse(m.b, x.b, y.b)};
}
HWY_INLINE TwinVector IfThenElseZero(TwinMask m, TwinVector x)
{
    return {hn::IfThenElseZero(m.a, x.a), hn::IfThenElseZero(m.b, x.b)};
}
HWY_INLINE TwinVector IfThenZeroElse(TwinMask m, TwinVector x)
{
    return {hn::IfThenZeroElse(m.a, x.a), hn::IfThenZeroElse(m.b, x.b)};
}

// What a search computes with: lanes of one vector, or of a twin. Lane after lane in memory.
struct Single {
    using V = FloatVector;
    static constexpr std::size_t lanes = kLanes;
    static HWY_INLINE V set(float value) { return hn::Set(FloatLanes(), value); }
    static HWY_INLINE V load(const float* from) { return hn::Load(FloatLanes(), from); }
    static HWY_INLINE void store(V vector, float* to) { hn::Store(vector, FloatLanes(), to); }
    static HWY_INLINE bool all(FloatMask mask) { return hn::AllTrue(FloatLanes(), mask); }
    static HWY_INLINE bool none(FloatMask mask) { return hn::AllFalse(FloatLanes(), mask); }
};

struct Double {
    using V = TwinVector;
    static constexpr std::size_t lanes = 2 * kLanes;
    static HWY_INLINE V set(float value) { return {Single::set(value), Single::set(value)}; }
    static HWY_INLINE V load(const float* from) { return {Single::load(from), Single::load(from + kLanes)}; }
    static HWY_INLINE void store(V vector, float* to)
    {
        Single::store(vector.a, to);
        Single::store(vector.b, to + kLanes);
    }
    static HWY_INLINE bool all(TwinMask mask) { return Single::all(hn::And(mask.a, mask.b)); }
    static HWY_INLINE bool none(TwinMask mask) { return Single::none(hn::Or(mask.a, mask.b)); }
};

inline constexpr float kRounder = 12582912.0F;  // x + it, in float32, has no fraction bits left
inline constexpr float kRoundable = 4194303.0F;

// Nearest integer, half to even, for |x| ≤ kRoundable: one instruction where there is one.
HWY_INLINE FloatVector RoundSimply(FloatVector x)
{
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_SSSE3
    const auto rounder = hn::Set(FloatLanes(), kRounder);
    return hn::Sub(hn::Add(x, rounder), rounder);
#else
    return hn::Round(x);
#endif
}
HWY_INLINE TwinVector RoundSimply(TwinVector x)
{
    return {RoundSimply(x.a), RoundSimply(x.b)};
}

// ggml's nearest integer bit for bit, as a float, also where |x| is too large for the trick, and where it is NaN.
HWY_INLINE FloatVector RoundLiterally(FloatVector x)
{
    const FloatLanes d;
    const hn::RebindToUnsigned<FloatLanes> du;
    const auto bits = hn::BitCast(du, hn::Add(x, hn::Set(d, kRounder)));
    const auto fraction = hn::And(bits, hn::Set(du, 0x7fffffU));
    return hn::Sub(hn::BitCast(d, hn::Or(fraction, hn::Set(du, 0x4b000000U))), hn::Set(d, kRounder));
}
HWY_INLINE TwinVector RoundLiterally(TwinVector x)
{
    return {RoundLiterally(x.a), RoundLiterally(x.b)};
}

// The same, kept in a byte: modulo 256.
HWY_INLINE FloatVector RoundToByte(FloatVector x)
{
    const FloatLanes d;
    const hn::RebindToUnsigned<FloatLanes> du;
    const auto bits = hn::BitCast(du, hn::Add(x, hn::Set(d, kRounder)));
    const auto byte = hn::And(bits, hn::Set(du, 0xffU));
    return hn::Sub(hn::BitCast(d, hn::Or(byte, hn::Set(du, 0x4b000000U))), hn::Set(d, 8388608.0F));
}
HWY_INLINE TwinVector RoundToByte(TwinVector x)
{
    return {RoundToByte(x.a), RoundToByte(x.b)};
}

#if HWY_TARGET != HWY_SCALAR
// Four floats, and in the upper parts of longer vectors four of every fourth row behind them.
template<class D>
HWY_INLINE hn::Vec<D> LoadFour(D d, const float* from, std::size_t stride)
{
    if constexpr (hn::MaxLanes(D()) > 4) {
        const hn::Half<D> half;
        return hn::Combine(
            d, LoadFour(half, from + hn::MaxLanes(D()) / 2 * stride, stride), LoadFour(half, from, stride));
    } else {
        return hn::LoadU(d, from);
    }
}
#endif

// Rows of `length` floats, `stride` apart, one per lane: out[i · outStride + lane] = from[lane · stride + i].
HWY_INLINE void TransposeIntoLanes(
    const float* from, std::size_t stride, std::size_t length, std::size_t outStride, float* out)
{
#if HWY_TARGET == HWY_SCALAR
    (void)stride;
    for (std::size_t i = 0; i < length; ++i)
        out[i * outStride] = from[i];
#else
    const FloatLanes d;
    const hn::Repartition<double, FloatLanes> wide;
    for (std::size_t i = 0; i < length; i += 4) {
        const auto r0 = LoadFour(d, from + i, stride), r1 = LoadFour(d, from + stride + i, stride);
        const auto r2 = LoadFour(d, from + 2 * stride + i, stride), r3 = LoadFour(d, from + 3 * stride + i, stride);
        const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, r0, r1));
        const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, r2, r3));
        const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, r0, r1));
        const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, r2, r3));
        hn::Store(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, out + i * outStride);
        hn::Store(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, out + (i + 1) * outStride);
        hn::Store(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, out + (i + 2) * outStride);
        hn::Store(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, out + (i + 3) * outStride);
    }
#endif
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE::k_quants
HWY_AFTER_NAMESPACE();

#endif  // included once per instruction set
