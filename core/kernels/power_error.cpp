// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/power_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/power_error.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/power_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes are summed in float over at most this many weights, then in double: 128 additions of a lane lose at most
// 128·2⁻²⁴ of the sum, far less where errors vary.
constexpr std::size_t blockLength = 1024;

template<class D, class V = hn::Vec<D>>
V powerErrorAt(D d, const float* original, const float* quantized, V factor)
{
    const V w = hn::LoadU(d, original);
    const V error = hn::Abs(hn::Sub(w, hn::LoadU(d, quantized)));
    const auto finite = hn::Le(hn::Abs(w), hn::Set(d, std::numeric_limits<float>::max()));
    return powerOf(d, hn::IfThenElseZero(finite, hn::Mul(error, factor)));
}

double PowerError(const float* original, const float* quantized, std::size_t count, float scaling)
{
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    const auto factor = hn::Set(d, scaling);
    double total = 0.0;
    std::size_t i = 0;
    while (i + hn::Lanes(d) <= count) {
        const std::size_t end = HWY_MIN(count, i + blockLength);
        auto sum = hn::Zero(d);
        for (; i + hn::Lanes(d) <= end; i += hn::Lanes(d))
            sum = hn::Add(sum, powerErrorAt(d, original + i, quantized + i, factor));
        total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    }
    for (; i < count; ++i)
        total +=
            static_cast<double>(hn::GetLane(powerErrorAt(one, original + i, quantized + i, hn::Set(one, scaling))));
    return total;
}

void PowerErrors(const float* original, const float* quantized, std::size_t rowCount, const UnitShape& shape,
    const float* factors, double* sums)
{
    for (std::size_t row = 0; row < rowCount; ++row)
        for (std::size_t start = 0; start < shape.columns; start += shape.length) {
            const std::size_t at = row * shape.columns + start;
            *sums++ =
                PowerError(original + at, quantized + at, HWY_MIN(shape.length, shape.columns - start), *factors++);
        }
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(PowerErrors);

void powerErrorsOfUnits(std::span<const float> original, std::span<const float> quantized, const UnitShape& shape,
    std::span<const float> factors, std::span<double> sums)
{
    HWY_DYNAMIC_DISPATCH(PowerErrors)
    (original.data(), quantized.data(), shape.rows(original.size()), shape, factors.data(), sums.data());
}

void powerErrorsOfUnitsReference(std::span<const float> original, std::span<const float> quantized,
    const UnitShape& shape, std::span<const float> factors, std::span<double> sums)
{
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t i = 0; i < original.size(); ++i)
        if (std::isfinite(original[i])) {
            const std::size_t unit = i / shape.columns * shape.unitsPerRow() + i % shape.columns / shape.length;
            const double error = static_cast<double>(original[i]) - static_cast<double>(quantized[i]);
            sums[unit] += std::pow(std::abs(error) * static_cast<double>(factors[unit]), 2.4);
        }
}

float powerErrorFactor(float absMax)
{
    if (absMax == 0.0F)
        return 1.0F;
    return std::ldexp(1.0F, std::clamp(-std::ilogb(absMax), -126, 127));
}

}  // namespace quantloupe::kernels
#endif
