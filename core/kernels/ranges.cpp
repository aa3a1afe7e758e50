// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/ranges.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/ranges.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Range of one unit or run, where all is finite; else false.
bool RangeOfFinite(const float* HWY_RESTRICT values, std::size_t count, FiniteRange& range)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    const std::size_t lanes = hn::Lanes(d);
    const auto none = hn::Zero(d);
    auto low0 = hn::Set(d, std::numeric_limits<float>::infinity());
    auto high0 = hn::Set(d, -std::numeric_limits<float>::infinity());
    auto low1 = low0;
    auto high1 = high0;
    auto broken = none;  // 0, or NaN from the first value on that is not finite
    const auto widen = [&](std::size_t at, auto& low, auto& high) {
        const auto x = hn::LoadU(d, values + at);
        low = hn::Min(low, x);
        high = hn::Max(high, x);
        broken = hn::MulAdd(x, none, broken);
    };
    std::size_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        widen(i, low0, high0);
        widen(i + lanes, low1, high1);
    }
    if (i + lanes <= count) {
        widen(i, low0, high0);
        i += lanes;
    }
    float low = hn::GetLane(hn::MinOfLanes(d, hn::Min(low0, low1)));
    float high = hn::GetLane(hn::MaxOfLanes(d, hn::Max(high0, high1)));
    auto brokenTail = hn::Set(one, hn::AllTrue(d, hn::Eq(broken, broken)) ? 0.0F : std::nanf(""));
    for (; i < count; ++i) {
        low = HWY_MIN(low, values[i]);
        high = HWY_MAX(high, values[i]);
        brokenTail = hn::MulAdd(hn::LoadU(one, values + i), hn::Zero(one), brokenTail);
    }
    // Which of −0 and +0 a vector minimum returns differs between targets; adding +0 makes both +0.
    range = {low + 0.0F, high + 0.0F};
    const float check = hn::GetLane(brokenTail);
    return check == check;
}

FiniteRange RangeOf(const float* HWY_RESTRICT values, std::size_t count)
{
    FiniteRange range;
    return RangeOfFinite(values, count, range) ? range : rangeOfReference({values, count});
}

void RangesOfUnits(const float* HWY_RESTRICT rows, std::size_t rowCount, const UnitShape& shape, FiniteRange* ranges)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length)
            *ranges++ = RangeOf(rows + row * shape.columns + start, HWY_MIN(shape.length, shape.columns - start));
}

AbsSum AbsSumOf(const float* HWY_RESTRICT values, std::size_t count)
{
    const hn::ScalableTag<double> d;
    const hn::Rebind<float, decltype(d)> half;
    const std::size_t lanes = hn::Lanes(d);
    const auto largest = hn::Set(half, std::numeric_limits<float>::max());
    auto sum = hn::Zero(d);
    auto counted = hn::Zero(d);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto size = hn::Abs(hn::LoadU(half, values + i));
        const auto finite = hn::Le(size, largest);
        sum = hn::Add(sum, hn::PromoteTo(d, hn::IfThenElseZero(finite, size)));
        counted = hn::Add(counted, hn::PromoteTo(d, hn::IfThenElseZero(finite, hn::Set(half, 1.0F))));
    }
    AbsSum result {
        hn::GetLane(hn::SumOfLanes(d, sum)), static_cast<std::size_t>(hn::GetLane(hn::SumOfLanes(d, counted)))};
    for (; i < count; ++i) {
        const float size = std::abs(values[i]);
        if (size <= std::numeric_limits<float>::max()) {
            result.sum += static_cast<double>(size);
            ++result.count;
        }
    }
    return result;
}

void AbsMeansOfUnits(const float* HWY_RESTRICT rows, std::size_t rowCount, const UnitShape& shape, double* means)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const AbsSum part =
                AbsSumOf(rows + row * shape.columns + start, HWY_MIN(shape.length, shape.columns - start));
            *means++ = part.count == 0 ? 0.0 : part.sum / static_cast<double>(part.count);
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(RangeOf);
HWY_EXPORT(RangesOfUnits);
HWY_EXPORT(AbsSumOf);
HWY_EXPORT(AbsMeansOfUnits);

FiniteRange rangeOf(std::span<const float> values)
{
    return HWY_DYNAMIC_DISPATCH(RangeOf)(values.data(), values.size());
}

FiniteRange rangeOfReference(std::span<const float> values)
{
    FiniteRange range;
    for (const float value : values)
        if (std::isfinite(value)) {
            range.minimum = std::min(range.minimum, value);
            range.maximum = std::max(range.maximum, value);
        }
    return {range.minimum + 0.0F, range.maximum + 0.0F};
}

void rangesOfUnits(std::span<const float> rows, const UnitShape& shape, std::span<FiniteRange> ranges)
{
    HWY_DYNAMIC_DISPATCH(RangesOfUnits)(rows.data(), shape.rows(rows.size()), shape, ranges.data());
}

void absMeansOfUnits(std::span<const float> rows, const UnitShape& shape, std::span<double> means)
{
    HWY_DYNAMIC_DISPATCH(AbsMeansOfUnits)(rows.data(), shape.rows(rows.size()), shape, means.data());
}

AbsSum absSumOf(std::span<const float> values)
{
    return HWY_DYNAMIC_DISPATCH(AbsSumOf)(values.data(), values.size());
}

AbsSum absSumOfReference(std::span<const float> values)
{
    AbsSum result;
    for (const float value : values)
        if (std::isfinite(value)) {
            result.sum += static_cast<double>(std::abs(value));
            ++result.count;
        }
    return result;
}

}  // namespace quantloupe::kernels
#endif
