// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/integer_grid.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One unit's constants, spread over the lanes. Steps count from the zero point: step = code − zero.
template<class D>
struct Steps {
    using V = hn::Vec<D>;
    V scale, minimum, lowest, highest, below, above, zero;

    Steps(D d, const UnitGrid& grid, const IntegerCodes& codes)
        : scale(hn::Set(d, grid.scale))
        , minimum(hn::Set(d, codes.floatingMinimum ? grid.zero : 0.0F))
        , zero(hn::Set(d, codes.floatingMinimum ? 0.0F : grid.zero))
    {
        lowest = hn::Sub(hn::Set(d, codes.lowest), zero);
        highest = hn::Sub(hn::Set(d, codes.highest), zero);
        below = hn::Sub(lowest, hn::Set(d, 1.0F));
        above = hn::Add(highest, hn::Set(d, 1.0F));
    }
};

// Rounds to whole, half to even, for |x| ≤ 2²²: there the sum has no fraction bits left. −0 becomes +0.
template<class D, class V = hn::Vec<D>>
V roundSmall(D d, V x)
{
    const auto magic = hn::Set(d, 12582912.0F);
    return hn::Sub(hn::Add(x, magic), magic);
}

// Steps of each lane; `clamped` gains −1 in each lane whose finite weight left the range. The first clamp leaves one
// step beyond either end, so that a rounded step tells whether the range was left, and keeps roundSmall() in its
// domain.
template<bool floatingMinimum, class D, class V = hn::Vec<D>, class DI = hn::RebindToSigned<D>>
V stepsOf(D d, V weight, const Steps<D>& steps, hn::Vec<DI>& clamped)
{
    const DI di;
    const V number = hn::IfThenElseZero(hn::Eq(weight, weight), weight);
    const V distance = floatingMinimum ? hn::Sub(number, steps.minimum) : number;
    const V ratio = hn::Div(distance, steps.scale);
    const V wide = roundSmall(d, hn::Min(hn::Max(ratio, steps.below), steps.above));
    const V step = hn::Min(hn::Max(wide, steps.lowest), steps.highest);
    const auto finite = hn::Le(hn::Abs(weight), hn::Set(d, std::numeric_limits<float>::max()));
    const auto moved = hn::And(hn::Ne(wide, step), finite);
    clamped = hn::Add(clamped, hn::BitCast(di, hn::VecFromMask(d, moved)));
    return step;
}

template<bool floatingMinimum, class D, class V = hn::Vec<D>>
V valueOf(D /*d*/, V step, const Steps<D>& steps)
{
    // No fused multiply-add: it rounds once where the definition rounds twice.
    const V value = hn::Mul(step, steps.scale);
    return floatingMinimum ? hn::Add(value, steps.minimum) : value;
}

template<bool floatingMinimum>
std::uint64_t FakeQuantizeUnit(
    const float* weights, std::size_t count, const UnitGrid& grid, const IntegerCodes& codes, float* out)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    const Steps steps(d, grid, codes);
    auto clamped = hn::Zero(di);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto step = stepsOf<floatingMinimum>(d, hn::LoadU(d, weights + i), steps, clamped);
        hn::StoreU(valueOf<floatingMinimum>(d, step, steps), d, out + i);
    }
    auto total = -static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(di, clamped)));
    if (i < count) {
        const Steps last(one, grid, codes);
        auto clampedTail = hn::Zero(oneInt);
        for (; i < count; ++i) {
            const auto step = stepsOf<floatingMinimum>(one, hn::LoadU(one, weights + i), last, clampedTail);
            hn::StoreU(valueOf<floatingMinimum>(one, step, last), one, out + i);
        }
        total -= static_cast<std::int64_t>(hn::GetLane(clampedTail));
    }
    return static_cast<std::uint64_t>(total);
}

template<bool floatingMinimum>
void EncodeUnit(
    const float* weights, std::size_t count, const UnitGrid& grid, const IntegerCodes& codes, std::uint32_t* out)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::CappedTag<float, 1> one;
    const hn::RebindToSigned<decltype(one)> oneInt;
    const Steps steps(d, grid, codes);
    const Steps last(one, grid, codes);
    auto ignored = hn::Zero(di);
    auto ignoredTail = hn::Zero(oneInt);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto step = stepsOf<floatingMinimum>(d, hn::LoadU(d, weights + i), steps, ignored);
        hn::StoreU(hn::BitCast(du, hn::ConvertTo(di, hn::Add(step, steps.zero))), du, out + i);
    }
    for (; i < count; ++i) {
        const auto step = stepsOf<floatingMinimum>(one, hn::LoadU(one, weights + i), last, ignoredTail);
        out[i] = static_cast<std::uint32_t>(hn::GetLane(step) + hn::GetLane(last.zero));
    }
}

template<bool floatingMinimum>
void DecodeUnit(
    const std::uint32_t* values, std::size_t count, const UnitGrid& grid, const IntegerCodes& codes, float* out)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::CappedTag<float, 1> one;
    const Steps steps(d, grid, codes);
    const Steps last(one, grid, codes);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto code = hn::ConvertTo(d, hn::BitCast(di, hn::LoadU(du, values + i)));
        hn::StoreU(valueOf<floatingMinimum>(d, hn::Sub(code, steps.zero), steps), d, out + i);
    }
    for (; i < count; ++i) {
        const auto code = hn::Set(one, static_cast<float>(values[i]));
        hn::StoreU(valueOf<floatingMinimum>(one, hn::Sub(code, last.zero), last), one, out + i);
    }
}

std::uint64_t FakeQuantize(const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids,
    const IntegerCodes& codes, float* out)
{
    std::uint64_t clamped = 0;
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            clamped += codes.floatingMinimum ? FakeQuantizeUnit<true>(rows + at, count, *grids, codes, out + at)
                                             : FakeQuantizeUnit<false>(rows + at, count, *grids, codes, out + at);
            grids += shape.shared ? 0 : 1;
        }
    return clamped;
}

void Encode(const float* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids,
    const IntegerCodes& codes, std::uint32_t* out)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            if (codes.floatingMinimum)
                EncodeUnit<true>(rows + at, count, *grids, codes, out + at);
            else
                EncodeUnit<false>(rows + at, count, *grids, codes, out + at);
            grids += shape.shared ? 0 : 1;
        }
}

void Decode(const std::uint32_t* rows, std::size_t rowCount, const UnitShape& shape, const UnitGrid* grids,
    const IntegerCodes& codes, float* out)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            const std::size_t count = HWY_MIN(shape.length, shape.columns - start);
            if (codes.floatingMinimum)
                DecodeUnit<true>(rows + at, count, *grids, codes, out + at);
            else
                DecodeUnit<false>(rows + at, count, *grids, codes, out + at);
            grids += shape.shared ? 0 : 1;
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(FakeQuantize);
HWY_EXPORT(Encode);
HWY_EXPORT(Decode);

std::uint64_t integerFakeQuantize(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<float> out)
{
    return HWY_DYNAMIC_DISPATCH(FakeQuantize)(
        rows.data(), shape.rows(rows.size()), shape, grids.data(), codes, out.data());
}

void integerEncode(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<std::uint32_t> out)
{
    HWY_DYNAMIC_DISPATCH(Encode)(rows.data(), shape.rows(rows.size()), shape, grids.data(), codes, out.data());
}

void integerDecode(std::span<const std::uint32_t> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<float> out)
{
    HWY_DYNAMIC_DISPATCH(Decode)(rows.data(), shape.rows(rows.size()), shape, grids.data(), codes, out.data());
}

namespace {

// The definition, one weight at a time.
float roundedStep(float weight, const UnitGrid& grid, const IntegerCodes& codes)
{
    const float number = std::isnan(weight) ? 0.0F : weight;
    return std::nearbyint((codes.floatingMinimum ? number - grid.zero : number) / grid.scale);
}

float clampedStep(float rounded, const UnitGrid& grid, const IntegerCodes& codes)
{
    const float zero = codes.floatingMinimum ? 0.0F : grid.zero;
    return std::clamp(rounded, codes.lowest - zero, codes.highest - zero) + 0.0F;
}

float valueOfStep(float step, const UnitGrid& grid, const IntegerCodes& codes)
{
    return codes.floatingMinimum ? step * grid.scale + grid.zero : step * grid.scale;
}

}  // namespace

std::uint64_t integerFakeQuantizeReference(std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, const IntegerCodes& codes, std::span<float> out)
{
    std::uint64_t clamped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const UnitGrid& grid = gridAt(i, shape, grids);
        const float rounded = roundedStep(rows[i], grid, codes);
        const float step = clampedStep(rounded, grid, codes);
        clamped += std::isfinite(rows[i]) && rounded != step;
        out[i] = valueOfStep(step, grid, codes);
    }
    return clamped;
}

void integerEncodeReference(std::span<const float> rows, const UnitShape& shape, std::span<const UnitGrid> grids,
    const IntegerCodes& codes, std::span<std::uint32_t> out)
{
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const UnitGrid& grid = gridAt(i, shape, grids);
        const float step = clampedStep(roundedStep(rows[i], grid, codes), grid, codes);
        out[i] = static_cast<std::uint32_t>(step + (codes.floatingMinimum ? 0.0F : grid.zero));
    }
}

void integerDecodeReference(std::span<const std::uint32_t> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, const IntegerCodes& codes, std::span<float> out)
{
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const UnitGrid& grid = gridAt(i, shape, grids);
        const float step = static_cast<float>(rows[i]) - (codes.floatingMinimum ? 0.0F : grid.zero);
        out[i] = valueOfStep(step, grid, codes);
    }
}

}  // namespace quantloupe::kernels
#endif
