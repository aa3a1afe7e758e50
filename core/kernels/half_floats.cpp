// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/half_floats.h"

#include "core/kernels/float_bits.h"

#include <cassert>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/half_floats.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t bytesAhead = 2'048;

#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
// F16C: one instruction.
template<class D, class N>
auto valuesOfHalves(D /*du*/, N patterns)
{
    const hn::Rebind<hwy::float16_t, D> halves;
    return hn::PromoteTo(hn::RebindToFloat<D>(), hn::BitCast(halves, patterns));
}
#else
// The steps of halfToFloat(), lane by lane.
template<class D, class N, class V = hn::Vec<D>>
auto valuesOfHalves(D du, N patterns)
{
    const hn::RebindToFloat<D> d;
    const V half = hn::PromoteTo(du, patterns);
    const V sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(du, 0x8000U)));
    const V magnitude = hn::And(half, hn::Set(du, 0x7fffU));
    const hn::RebindToSigned<D> di;
    const auto normal = hn::BitCast(d, hn::Add(hn::ShiftLeft<13>(magnitude), hn::Set(du, 112U << 23U)));
    const auto subnormal = hn::Sub(hn::BitCast(d, hn::Or(magnitude, hn::Set(du, 0x3f000000U))), hn::Set(d, 0.5F));
    const auto isNormal = hn::RebindMask(d, hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, 0x3ff)));
    const auto value = hn::IfThenElse(isNormal, normal, subnormal);
    const auto isSpecial = hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, 0x7bff));
    const auto isNaN = hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, 0x7c00));
    const auto special = hn::Or(
        hn::IfThenElseZero(isSpecial, hn::Set(di, 0x7f800000)), hn::IfThenElseZero(isNaN, hn::Set(di, 0x00400000)));
    return hn::BitCast(d, hn::Or(hn::BitCast(du, value), hn::Or(hn::BitCast(du, special), sign)));
}
#endif

template<class D, class N>
auto valuesOfBrainHalves(D du, N patterns)
{
    const hn::RebindToFloat<D> d;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, patterns)));
}

template<class Values, class One>
void Widen(const std::byte* source, std::size_t count, float* out, const Values& values, const One& one)
{
    const hn::ScalableTag<std::uint32_t> du;
    const hn::RebindToFloat<decltype(du)> d;
    const hn::Rebind<std::uint16_t, decltype(du)> narrow;
    std::size_t i = 0;
    // One lane would be read through a pointer that must be aligned; a vector is not.
    if constexpr (hn::MaxLanes(du) > 1)
        for (; i + hn::Lanes(du) <= count; i += hn::Lanes(du)) {
            const auto* at = reinterpret_cast<const std::uint16_t*>(source + 2 * i);
            hwy::Prefetch(source + 2 * i + bytesAhead);
            hn::StoreU(values(du, hn::LoadU(narrow, at)), d, out + i);
        }
    for (; i < count; ++i) {
        std::uint16_t half;
        std::memcpy(&half, source + 2 * i, sizeof half);
        out[i] = one(half);
    }
}

void WidenHalves(const std::byte* source, std::size_t count, float* out)
{
    Widen(
        source, count, out, [](auto du, auto patterns) HWY_ATTR { return valuesOfHalves(du, patterns); }, halfToFloat);
}

void WidenBrainHalves(const std::byte* source, std::size_t count, float* out)
{
    Widen(
        source, count, out, [](auto du, auto patterns) HWY_ATTR { return valuesOfBrainHalves(du, patterns); },
        bfloat16ToFloat);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(WidenHalves);
HWY_EXPORT(WidenBrainHalves);

void widenHalves(std::span<const std::byte> halves, std::span<float> out)
{
    assert(halves.size() == 2 * out.size());
    HWY_DYNAMIC_DISPATCH(WidenHalves)(halves.data(), out.size(), out.data());
}

void widenBrainHalves(std::span<const std::byte> halves, std::span<float> out)
{
    assert(halves.size() == 2 * out.size());
    HWY_DYNAMIC_DISPATCH(WidenBrainHalves)(halves.data(), out.size(), out.data());
}

}  // namespace quantloupe::kernels
#endif
