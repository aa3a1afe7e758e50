// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/nearest_level.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/nearest_level.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template<class D>
HWY_INLINE void CountVector(
    D d, const float* thresholds, std::size_t thresholdCount, const float* values, std::uint32_t* codes)
{
    const hn::RebindToSigned<D> di;
    const hn::RebindToUnsigned<D> du;
    const auto value = hn::LoadU(d, values);
    const auto number = hn::IfThenElseZero(hn::Eq(value, value), value);
    auto code = hn::Zero(di);
    for (std::size_t i = 0; i < thresholdCount; ++i)
        code = hn::Sub(code, hn::BitCast(di, hn::VecFromMask(d, hn::Gt(number, hn::Set(d, thresholds[i])))));
    hn::StoreU(hn::BitCast(du, code), du, codes);
}

void CountThresholds(const float* HWY_RESTRICT thresholds, std::size_t thresholdCount, const float* HWY_RESTRICT values,
    std::size_t count, std::uint32_t* HWY_RESTRICT codes)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        CountVector(d, thresholds, thresholdCount, values + i, codes + i);
    for (; i < count; ++i)
        CountVector(one, thresholds, thresholdCount, values + i, codes + i);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(CountThresholds);

void countThresholds(std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes)
{
    HWY_DYNAMIC_DISPATCH(CountThresholds)
    (thresholds.data(), thresholds.size(), values.data(), values.size(), codes.data());
}

void countThresholdsReference(
    std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes)
{
    std::transform(values.begin(), values.end(), codes.begin(), [&](float value) {
        const float number = std::isnan(value) ? 0.0F : value;
        return static_cast<std::uint32_t>(std::count_if(
            thresholds.begin(), thresholds.end(), [number](float threshold) { return threshold < number; }));
    });
}

}  // namespace quantloupe::kernels
#endif
