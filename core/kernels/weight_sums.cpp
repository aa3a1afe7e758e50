// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/weight_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/weight_sums.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Weights at a time: they stay in the first-level cache for the second look.
constexpr std::size_t runLength = 1'024;

// Range and zeros of a run. False where a weight is not finite: nothing of it is added then.
bool AddRange(const float* weights, std::size_t count, WeightSums& sums)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const auto none = hn::Zero(d);
    auto low = hn::Set(d, std::numeric_limits<float>::infinity());
    auto high = hn::Set(d, -std::numeric_limits<float>::infinity());
    auto broken = none;  // 0, or NaN from the first weight on that is not finite
    auto zeros = hn::Zero(di);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        hwy::Prefetch(weights + i + runLength);
        const auto w = hn::LoadU(d, weights + i);
        low = hn::Min(low, w);
        high = hn::Max(high, w);
        broken = hn::MulAdd(w, none, broken);
        zeros = hn::Sub(zeros, hn::BitCast(di, hn::VecFromMask(d, hn::Eq(w, none))));
    }
    // −1 in each lane of a mask: subtracting counts up.
    auto zeroCount = static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(di, zeros)));
    float brokenTail = hn::GetLane(hn::SumOfLanes(d, broken));
    FiniteRange range {hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high))};
    for (; i < count; ++i) {
        range.minimum = HWY_MIN(range.minimum, weights[i]);
        range.maximum = HWY_MAX(range.maximum, weights[i]);
        brokenTail += weights[i] * 0.0F;
        zeroCount += weights[i] == 0.0F;
    }
    if (brokenTail != brokenTail)
        return false;
    sums.count += count;
    sums.zeros += static_cast<std::uint64_t>(zeroCount);
    // Adding +0 makes −0 and +0 one, whichever the target's minimum returned.
    sums.range.minimum = HWY_MIN(sums.range.minimum, range.minimum) + 0.0F;
    sums.range.maximum = HWY_MAX(sums.range.maximum, range.maximum) + 0.0F;
    return true;
}

// Powers of the distance to the pivot, one vector of doubles at a time: half as many weights as a vector of floats
// holds.
template<class DW>
struct Powers {
    DW wide;
    hn::Vec<DW> pivot, sum1, sum2, sum3, sum4;

    Powers(DW w, double at)
        : wide(w)
        , pivot(hn::Set(w, at))
        , sum1(hn::Zero(w))
        , sum2(hn::Zero(w))
        , sum3(hn::Zero(w))
        , sum4(hn::Zero(w))
    {
    }

    void add(const float* weights)
    {
        const hn::Rebind<float, DW> narrow;
        const auto x = hn::Sub(hn::PromoteTo(wide, hn::LoadU(narrow, weights)), pivot);
        const auto square = hn::Mul(x, x);
        sum1 = hn::Add(sum1, x);
        sum2 = hn::Add(sum2, square);
        sum3 = hn::MulAdd(square, x, sum3);
        sum4 = hn::MulAdd(square, square, sum4);
    }

    void addTo(WeightSums& sums) const
    {
        sums.sum1 += hn::GetLane(hn::SumOfLanes(wide, sum1));
        sums.sum2 += hn::GetLane(hn::SumOfLanes(wide, sum2));
        sums.sum3 += hn::GetLane(hn::SumOfLanes(wide, sum3));
        sums.sum4 += hn::GetLane(hn::SumOfLanes(wide, sum4));
    }
};

// Of a run whose weights are all finite.
void AddPowers(const float* weights, std::size_t count, double pivot, WeightSums& sums)
{
    const hn::ScalableTag<double> wide;
    const hn::CappedTag<double, 1> one;
    // Two sets, so that no addition waits for the one before it.
    Powers<hn::Simd<double, hn::MaxLanes(wide), 0>> even(wide, pivot), odd(wide, pivot);
    std::size_t i = 0;
    for (; i + 2 * hn::Lanes(wide) <= count; i += 2 * hn::Lanes(wide)) {
        even.add(weights + i);
        odd.add(weights + i + hn::Lanes(wide));
    }
    even.addTo(sums);
    odd.addTo(sums);
    Powers<hn::Simd<double, 1, 0>> tail(one, pivot);
    for (; i < count; ++i)
        tail.add(weights + i);
    tail.addTo(sums);
}

void WidenColumns(const float* HWY_RESTRICT weights, std::size_t count, float* HWY_RESTRICT columnAbsMax)
{
    const hn::ScalableTag<float> d;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
        const auto size = hn::Abs(hn::LoadU(d, weights + i));
        hn::StoreU(hn::Max(hn::LoadU(d, columnAbsMax + i), size), d, columnAbsMax + i);
    }
    for (; i < count; ++i)
        columnAbsMax[i] = HWY_MAX(columnAbsMax[i], weights[i] < 0.0F ? -weights[i] : weights[i]);
}

// columnAbsMax may be null.
void Sums(const float* row, std::size_t count, double pivot, float* columnAbsMax, WeightSums& sums)
{
    for (std::size_t start = 0; start < count; start += runLength) {
        const std::size_t length = HWY_MIN(runLength, count - start);
        float* columns = columnAbsMax ? columnAbsMax + start : nullptr;
        if (AddRange(row + start, length, sums)) {
            AddPowers(row + start, length, pivot, sums);
            if (columns)
                WidenColumns(row + start, length, columns);
        } else {
            sums += weightSumsReference({row + start, length}, pivot, {columns, columns ? length : 0});
        }
    }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Sums);

WeightSums& WeightSums::operator+=(const WeightSums& other)
{
    count += other.count;
    zeros += other.zeros;
    sum1 += other.sum1;
    sum2 += other.sum2;
    sum3 += other.sum3;
    sum4 += other.sum4;
    range.minimum = std::min(range.minimum, other.range.minimum);
    range.maximum = std::max(range.maximum, other.range.maximum);
    return *this;
}

WeightSums weightSums(std::span<const float> row, double pivot, std::span<float> columnAbsMax)
{
    WeightSums sums;
    HWY_DYNAMIC_DISPATCH(Sums)
    (row.data(), row.size(), pivot, columnAbsMax.empty() ? nullptr : columnAbsMax.data(), sums);
    return sums;
}

WeightSums weightSumsReference(std::span<const float> row, double pivot, std::span<float> columnAbsMax)
{
    WeightSums sums;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (!std::isfinite(row[i]))
            continue;
        const double x = static_cast<double>(row[i]) - pivot;
        ++sums.count;
        sums.zeros += row[i] == 0.0F;
        sums.sum1 += x;
        sums.sum2 += x * x;
        sums.sum3 += x * x * x;
        sums.sum4 += x * x * x * x;
        if (!columnAbsMax.empty())
            columnAbsMax[i] = std::max(columnAbsMax[i], std::abs(row[i]));
    }
    sums.range = rangeOfReference(row);
    return sums;
}

}  // namespace quantloupe::kernels
#endif
