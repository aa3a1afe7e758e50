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

// What a run of float sums comes to.
struct QuickSums {
    std::uint64_t zeros;
    FiniteRange range;
    double sum1, sum2, sum3, sum4;
};

// Range, zeros and powers of a run in float lanes. `pivot` is a float's value. All is wrong where a weight is not
// finite: sum2 shows it.
QuickSums SumQuickly(const float* HWY_RESTRICT weights, std::size_t count, float pivot)
{
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    const std::size_t n = hn::Lanes(d);
    const auto none = hn::Zero(d), centre = hn::Set(d, pivot);
    auto low = hn::Set(d, std::numeric_limits<float>::infinity());
    auto high = hn::Neg(low);
    auto zeros = hn::Zero(di);
    auto sum1 = none, sum2 = none, sum3 = none, sum4 = none;
    const auto maskOf = [&](auto w) HWY_ATTR { return hn::BitCast(di, hn::VecFromMask(d, hn::Eq(w, none))); };
    std::size_t i = 0;
    for (; i + 2 * n <= count; i += 2 * n) {
        hwy::Prefetch(weights + i + runLength);
        const auto a = hn::LoadU(d, weights + i), b = hn::LoadU(d, weights + i + n);
        low = hn::Min(low, hn::Min(a, b));
        high = hn::Max(high, hn::Max(a, b));
        // −1 in each lane of a mask: subtracting counts up.
        zeros = hn::Sub(zeros, hn::Add(maskOf(a), maskOf(b)));
        const auto x = hn::Sub(a, centre), y = hn::Sub(b, centre);
        const auto xx = hn::Mul(x, x), yy = hn::Mul(y, y);
        sum1 = hn::Add(sum1, hn::Add(x, y));
        sum2 = hn::Add(sum2, hn::Add(xx, yy));
        sum3 = hn::Add(sum3, hn::MulAdd(xx, x, hn::Mul(yy, y)));
        sum4 = hn::Add(sum4, hn::MulAdd(xx, xx, hn::Mul(yy, yy)));
    }
    const auto total = [&](auto v) HWY_ATTR { return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v))); };
    QuickSums sums {static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(di, zeros))),
        {hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high))}, total(sum1), total(sum2),
        total(sum3), total(sum4)};
    for (; i < count; ++i) {
        sums.range.minimum = HWY_MIN(sums.range.minimum, weights[i]);
        sums.range.maximum = HWY_MAX(sums.range.maximum, weights[i]);
        sums.zeros += weights[i] == 0.0F;
        const double x = static_cast<double>(weights[i]) - static_cast<double>(pivot);
        sums.sum1 += x;
        sums.sum2 += x * x;
        sums.sum3 += x * x * x;
        sums.sum4 += x * x * x * x;
    }
    return sums;
}

// Float sums of a run, where they will do: fourth powers far from float's ends, and a pivot near the mean, or the
// central moments would be small differences of large sums. False, and nothing added, elsewhere.
bool AddQuickly(const float* weights, std::size_t count, double pivot, WeightSums& sums)
{
    const auto centre = static_cast<float>(pivot);
    if (static_cast<double>(centre) != pivot)
        return false;
    const QuickSums quick = SumQuickly(weights, count, centre);
    const bool sized = quick.sum2 >= 0x1p-40 && quick.sum2 <= 0x1p56;
    if (!(sized && 16.0 * quick.sum1 * quick.sum1 <= quick.sum2 * static_cast<double>(count)))
        return false;
    sums.count += count;
    sums.zeros += quick.zeros;
    sums.sum1 += quick.sum1;
    sums.sum2 += quick.sum2;
    sums.sum3 += quick.sum3;
    sums.sum4 += quick.sum4;
    sums.range.minimum = HWY_MIN(sums.range.minimum, quick.range.minimum) + 0.0F;
    sums.range.maximum = HWY_MAX(sums.range.maximum, quick.range.maximum) + 0.0F;
    return true;
}

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
        if (AddQuickly(row + start, length, pivot, sums)) {
            if (columns)
                WidenColumns(row + start, length, columns);
        } else if (AddRange(row + start, length, sums)) {
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
