// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/weight_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/weight_sums.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of doubles: half as many weights as a vector of floats holds.
template<class DW, class DF>
struct Powers {
    DW wide;
    DF narrow;
    hn::Vec<DW> pivot;
    hn::Vec<DW> sum1, sum2, sum3, sum4;
    hn::Vec<DF> zeros, finite, low, high;

    Powers(DW w, DF f, double at)
        : wide(w)
        , narrow(f)
        , pivot(hn::Set(w, at))
        , sum1(hn::Zero(w))
        , sum2(hn::Zero(w))
        , sum3(hn::Zero(w))
        , sum4(hn::Zero(w))
        , zeros(hn::Zero(f))
        , finite(hn::Zero(f))
        , low(hn::Set(f, std::numeric_limits<float>::infinity()))
        , high(hn::Set(f, -std::numeric_limits<float>::infinity()))
    {
    }

    void add(const float* weights, float* columnAbsMax)
    {
        const auto w = hn::LoadU(narrow, weights);
        const auto size = hn::Abs(w);
        const auto isFinite = hn::Le(size, hn::Set(narrow, std::numeric_limits<float>::max()));
        const auto ones = hn::Set(narrow, 1.0F);
        low = hn::Min(low, hn::IfThenElse(isFinite, w, low));
        high = hn::Max(high, hn::IfThenElse(isFinite, w, high));
        finite = hn::Add(finite, hn::IfThenElseZero(isFinite, ones));
        zeros = hn::Add(zeros, hn::IfThenElseZero(hn::Eq(size, hn::Zero(narrow)), ones));
        if (columnAbsMax) {
            const auto largest = hn::LoadU(narrow, columnAbsMax);
            hn::StoreU(hn::Max(largest, hn::IfThenElseZero(isFinite, size)), narrow, columnAbsMax);
        }
        // A mask of floats chooses before promotion: a weight left out lies on the pivot. Subtracting zero for it and
        // then masking the distance would need the mask in double.
        const auto mask = hn::PromoteTo(wide, hn::IfThenElseZero(isFinite, ones));
        const auto x = hn::Mul(hn::Sub(hn::PromoteTo(wide, hn::IfThenElseZero(isFinite, w)), pivot), mask);
        const auto square = hn::Mul(x, x);
        sum1 = hn::Add(sum1, x);
        sum2 = hn::Add(sum2, square);
        sum3 = hn::MulAdd(square, x, sum3);
        sum4 = hn::MulAdd(square, square, sum4);
    }

    void addTo(WeightSums& sums) const
    {
        sums.count += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(narrow, finite)));
        sums.zeros += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(narrow, zeros)));
        sums.sum1 += hn::GetLane(hn::SumOfLanes(wide, sum1));
        sums.sum2 += hn::GetLane(hn::SumOfLanes(wide, sum2));
        sums.sum3 += hn::GetLane(hn::SumOfLanes(wide, sum3));
        sums.sum4 += hn::GetLane(hn::SumOfLanes(wide, sum4));
        // Adding +0 makes −0 and +0 one, whichever the target's minimum returned.
        sums.range.minimum = HWY_MIN(sums.range.minimum, hn::GetLane(hn::MinOfLanes(narrow, low))) + 0.0F;
        sums.range.maximum = HWY_MAX(sums.range.maximum, hn::GetLane(hn::MaxOfLanes(narrow, high))) + 0.0F;
    }
};

WeightSums Sums(const float* row, std::size_t count, double pivot, float* columnAbsMax)
{
    // Counts are kept in float lanes: exact up to 2²⁴, hence the blocks.
    constexpr std::size_t blockLength = 1U << 20U;
    const hn::ScalableTag<double> wide;
    const hn::Rebind<float, decltype(wide)> narrow;
    const hn::CappedTag<double, 1> oneWide;
    const hn::CappedTag<float, 1> one;
    WeightSums sums;
    std::size_t i = 0;
    while (i + hn::Lanes(wide) <= count) {
        const std::size_t end = HWY_MIN(count, i + blockLength);
        Powers block(wide, narrow, pivot);
        for (; i + hn::Lanes(wide) <= end; i += hn::Lanes(wide))
            block.add(row + i, columnAbsMax ? columnAbsMax + i : nullptr);
        block.addTo(sums);
    }
    Powers tail(oneWide, one, pivot);
    for (; i < count; ++i)
        tail.add(row + i, columnAbsMax ? columnAbsMax + i : nullptr);
    tail.addTo(sums);
    return sums;
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Sums);

WeightSums weightSums(std::span<const float> row, double pivot, std::span<float> columnAbsMax)
{
    return HWY_DYNAMIC_DISPATCH(Sums)(
        row.data(), row.size(), pivot, columnAbsMax.empty() ? nullptr : columnAbsMax.data());
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
