// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_rounding.h"

#include <bit>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/float_rounding.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

#ifndef QUANTLOUPE_FLOAT_LAYOUT
#define QUANTLOUPE_FLOAT_LAYOUT
namespace quantloupe::kernels {
namespace {

struct HalfLayout {
    static constexpr int mantissaBits = 10, exponentBits = 5, bias = 15;
    static constexpr bool saturates = false, divides = false;
    static constexpr float largest = 65504.0F;
};
struct BrainHalfLayout {
    static constexpr int mantissaBits = 7, exponentBits = 8;
    [[maybe_unused]] static constexpr int bias = 127;  // that of floats: not every target needs it
    static constexpr bool saturates = false, divides = false;
    static constexpr float largest = 3.3895313892515355e38F;
};
struct E4M3Layout {
    static constexpr int mantissaBits = 3, exponentBits = 4, bias = 7;
    static constexpr bool saturates = true, divides = false;
    static constexpr float largest = 448.0F;
};
struct E5M2Layout {
    static constexpr int mantissaBits = 2, exponentBits = 5, bias = 15;
    static constexpr bool saturates = true, divides = false;
    static constexpr float largest = 57344.0F;
};

template<int mantissa, int exponent>
struct ElementLayout {
    static constexpr int mantissaBits = mantissa, exponentBits = exponent, bias = (1 << (exponent - 1)) - 1;
    static constexpr bool saturates = true, divides = true;
    // No code is spared for infinity or NaN.
    static constexpr float largest = static_cast<float>((2 << mantissa) - 1)
        * static_cast<float>(1 << ((1 << exponent) - 1 - bias)) / static_cast<float>(1 << mantissa);
};
template<int exponent>
struct PowerLayout {
    static constexpr int mantissaBits = 0, exponentBits = exponent, bias = (1 << exponent) - 1;
    static constexpr bool saturates = true, divides = true;
    static constexpr float largest = 1.0F;
};

constexpr float powerOfTwo(int exponent)
{
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23U);
}

}  // namespace
}  // namespace quantloupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// |y| ≥ 0 rounded to the layout's grid as if its exponents had no upper end.
template<class Layout, class D, class V = hn::Vec<D>>
V roundedSize(D d, V size)
{
    constexpr int dropped = 23 - Layout::mantissaBits;
    const hn::RebindToSigned<D> di;
    // Half to even: add just under half a unit, and one more where the last kept bit is odd; a carry moves the
    // exponent.
    const auto bits = hn::BitCast(di, size);
    const auto odd = Layout::mantissaBits == 0 ? hn::Set(di, 1)  // 1.5 is nearest to 2 as an even number of ones
                                               : hn::And(hn::ShiftRight<dropped>(bits), hn::Set(di, 1));
    const auto sum = hn::Add(hn::Add(bits, hn::Set(di, (1 << (dropped - 1)) - 1)), odd);
    const V normal = hn::BitCast(d, hn::And(sum, hn::Set(di, ~((1 << dropped) - 1))));
    if constexpr (Layout::exponentBits == 8) {
        return normal;  // same exponents as float: its denormals round as its bits do
    } else {
        // Below the smallest normal the step is fixed: adding a number whose last bit is that step rounds to it.
        const auto magic = hn::Set(d, powerOfTwo(1 - Layout::bias - Layout::mantissaBits + 23));
        const V subnormal = hn::Sub(hn::Add(size, magic), magic);
        return hn::IfThenElse(hn::Lt(size, hn::Set(d, powerOfTwo(1 - Layout::bias))), subnormal, normal);
    }
}

// The layout's value nearest to `weight`, times or divided by `factor` where it has scales; `clamped` as in
// integer_grid.cpp.
template<class Layout, class D, class V = hn::Vec<D>, class DI = hn::RebindToSigned<D>>
V rounded(D d, V weight, V factor, hn::Vec<DI>& clamped)
{
    const DI di;
    const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
    const auto number = hn::Eq(weight, weight);
    V scaled = weight;
    if constexpr (Layout::divides)
        scaled = hn::Div(hn::IfThenElseZero(number, weight), factor);
    else if constexpr (Layout::saturates)
        scaled = hn::Mul(hn::IfThenElseZero(number, weight), factor);
    const V size = roundedSize<Layout>(d, hn::Abs(scaled));
    const auto beyond = hn::Gt(size, hn::Set(d, Layout::largest));
    const auto finite = hn::Lt(hn::Abs(weight), infinity);
    clamped = hn::Add(clamped, hn::BitCast(di, hn::VecFromMask(d, hn::And(beyond, finite))));
    if constexpr (Layout::saturates) {
        return hn::CopySign(hn::Min(size, hn::Set(d, Layout::largest)), scaled);
    } else {
        constexpr int kept = ~((1 << (23 - Layout::mantissaBits)) - 1);
        const V value = hn::CopySign(hn::IfThenElse(beyond, infinity, size), weight);
        const auto quiet = hn::And(hn::Or(hn::BitCast(di, weight), hn::Set(di, 0x00400000)), hn::Set(di, kept));
        return hn::IfThenElse(number, value, hn::BitCast(d, quiet));
    }
}

// Bit pattern of a value that the layout holds.
template<class Layout, class D, class V = hn::Vec<D>, class DI = hn::RebindToSigned<D>>
hn::Vec<DI> codeOf(D d, V value)
{
    constexpr int dropped = 23 - Layout::mantissaBits;
    constexpr int signShift = 31 - Layout::mantissaBits - Layout::exponentBits;
    const DI di;
    const hn::RebindToUnsigned<D> du;
    const auto sign =
        hn::BitCast(di, hn::ShiftRight<signShift>(hn::And(hn::BitCast(du, value), hn::Set(du, 0x80000000U))));
    const V size = hn::Abs(value);
    const auto bits = hn::ShiftRight<dropped>(hn::BitCast(di, size));
    if constexpr (Layout::exponentBits == 8) {
        return hn::Or(bits, sign);
    } else {
        const auto normal = hn::Sub(bits, hn::Set(di, (127 - Layout::bias) << Layout::mantissaBits));
        const V steps = hn::Mul(size, hn::Set(d, powerOfTwo(Layout::bias - 1 + Layout::mantissaBits)));
        const auto small = hn::RebindMask(di, hn::Lt(size, hn::Set(d, powerOfTwo(1 - Layout::bias))));
        // Lanes that are not small may convert to anything: they are not chosen.
        auto code =
            hn::IfThenElse(small, hn::ConvertTo(di, hn::IfThenElseZero(hn::RebindMask(d, small), steps)), normal);
        if constexpr (!Layout::saturates) {
            // Infinity and NaN: the exponent field is full, not offset.
            constexpr int full = ((1 << Layout::exponentBits) - 1) << Layout::mantissaBits;
            constexpr int mantissa = (1 << Layout::mantissaBits) - 1;
            const auto special = hn::Or(hn::And(bits, hn::Set(di, mantissa)), hn::Set(di, full));
            code = hn::IfThenElse(hn::Gt(bits, hn::Set(di, (0xFF << Layout::mantissaBits) - 1)), special, code);
        }
        return hn::Or(code, sign);
    }
}

template<class Layout>
float factorOf(const UnitGrid& grid)
{
    return Layout::divides ? grid.scale : grid.zero;
}

template<class Layout>
std::uint64_t FakeQuantizeUnit(const float* weights, std::size_t count, const UnitGrid& grid, float* out)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const auto factor = hn::Set(d, factorOf<Layout>(grid));
    const auto scale = hn::Set(d, grid.scale);
    auto clamped = hn::Zero(di);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto value = rounded<Layout>(d, hn::LoadU(d, weights + i), factor, clamped);
        hn::StoreU(Layout::saturates ? hn::Mul(value, scale) : value, d, out + i);
    }
    auto total = -static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(di, clamped)));
    auto clampedTail = hn::Zero(hn::RebindToSigned<decltype(one)>());
    for (; i < count; ++i) {
        const auto value =
            rounded<Layout>(one, hn::LoadU(one, weights + i), hn::Set(one, factorOf<Layout>(grid)), clampedTail);
        hn::StoreU(Layout::saturates ? hn::Mul(value, hn::Set(one, grid.scale)) : value, one, out + i);
    }
    total -= static_cast<std::int64_t>(hn::GetLane(clampedTail));
    return static_cast<std::uint64_t>(total);
}

template<class Layout>
void EncodeUnit(const float* weights, std::size_t count, const UnitGrid& grid, std::uint32_t* codes)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::CappedTag<float, 1> one;
    auto ignored = hn::Zero(di);
    auto ignoredTail = hn::Zero(hn::RebindToSigned<decltype(one)>());
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto value = rounded<Layout>(d, hn::LoadU(d, weights + i), hn::Set(d, factorOf<Layout>(grid)), ignored);
        hn::StoreU(hn::BitCast(du, codeOf<Layout>(d, value)), du, codes + i);
    }
    for (; i < count; ++i) {
        const auto value =
            rounded<Layout>(one, hn::LoadU(one, weights + i), hn::Set(one, factorOf<Layout>(grid)), ignoredTail);
        codes[i] = static_cast<std::uint32_t>(hn::GetLane(codeOf<Layout>(one, value)));
    }
}

template<class Layout>
std::uint64_t FakeQuantizeRows(
    const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids, float* out)
{
    if (!Layout::saturates)
        return FakeQuantizeUnit<Layout>(rows, rowCount * shape.columns, {}, out);
    std::uint64_t clamped = 0;
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            clamped +=
                FakeQuantizeUnit<Layout>(rows + at, HWY_MIN(shape.length, shape.columns - start), *grids, out + at);
            grids += shape.shared ? 0 : 1;
        }
    return clamped;
}

template<class Layout>
void EncodeRows(
    const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids, std::uint32_t* codes)
{
    if (!Layout::saturates)
        return EncodeUnit<Layout>(rows, rowCount * shape.columns, {}, codes);
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            EncodeUnit<Layout>(rows + at, HWY_MIN(shape.length, shape.columns - start), *grids, codes + at);
            grids += shape.shared ? 0 : 1;
        }
}

std::uint64_t FakeQuantize(
    FloatKind kind, const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids, float* out)
{
    switch (kind) {
    case FloatKind::Half: return FakeQuantizeRows<HalfLayout>(rows, rowCount, shape, grids, out);
    case FloatKind::BrainHalf: return FakeQuantizeRows<BrainHalfLayout>(rows, rowCount, shape, grids, out);
    case FloatKind::E4M3: return FakeQuantizeRows<E4M3Layout>(rows, rowCount, shape, grids, out);
    case FloatKind::E5M2: return FakeQuantizeRows<E5M2Layout>(rows, rowCount, shape, grids, out);
    case FloatKind::E2M3: return FakeQuantizeRows<ElementLayout<3, 2>>(rows, rowCount, shape, grids, out);
    case FloatKind::E3M2: return FakeQuantizeRows<ElementLayout<2, 3>>(rows, rowCount, shape, grids, out);
    case FloatKind::E2M1: return FakeQuantizeRows<ElementLayout<1, 2>>(rows, rowCount, shape, grids, out);
    case FloatKind::Power3: return FakeQuantizeRows<PowerLayout<2>>(rows, rowCount, shape, grids, out);
    case FloatKind::Power4: return FakeQuantizeRows<PowerLayout<3>>(rows, rowCount, shape, grids, out);
    case FloatKind::Power5: return FakeQuantizeRows<PowerLayout<4>>(rows, rowCount, shape, grids, out);
    }
    return 0;
}

void Encode(FloatKind kind, const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids,
    std::uint32_t* codes)
{
    switch (kind) {
    case FloatKind::Half: return EncodeRows<HalfLayout>(rows, rowCount, shape, grids, codes);
    case FloatKind::BrainHalf: return EncodeRows<BrainHalfLayout>(rows, rowCount, shape, grids, codes);
    case FloatKind::E4M3: return EncodeRows<E4M3Layout>(rows, rowCount, shape, grids, codes);
    case FloatKind::E5M2: return EncodeRows<E5M2Layout>(rows, rowCount, shape, grids, codes);
    case FloatKind::E2M3: return EncodeRows<ElementLayout<3, 2>>(rows, rowCount, shape, grids, codes);
    case FloatKind::E3M2: return EncodeRows<ElementLayout<2, 3>>(rows, rowCount, shape, grids, codes);
    case FloatKind::E2M1: return EncodeRows<ElementLayout<1, 2>>(rows, rowCount, shape, grids, codes);
    case FloatKind::Power3: return EncodeRows<PowerLayout<2>>(rows, rowCount, shape, grids, codes);
    case FloatKind::Power4: return EncodeRows<PowerLayout<3>>(rows, rowCount, shape, grids, codes);
    case FloatKind::Power5: return EncodeRows<PowerLayout<4>>(rows, rowCount, shape, grids, codes);
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(FakeQuantize);
HWY_EXPORT(Encode);

std::uint64_t floatFakeQuantize(FloatKind kind, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out)
{
    return HWY_DYNAMIC_DISPATCH(FakeQuantize)(
        kind, rows.data(), shape.rows(rows.size()), shape, grids.data(), out.data());
}

void floatEncode(FloatKind kind, std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    std::span<std::uint32_t> codes)
{
    HWY_DYNAMIC_DISPATCH(Encode)(kind, rows.data(), shape.rows(rows.size()), shape, grids.data(), codes.data());
}

}  // namespace quantloupe::kernels
#endif
