// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/power_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/power_error.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes are summed in float over at most this many weights, then in double: 128 additions of a lane lose at most
// 128·2⁻²⁴ of the sum, far less where errors vary.
constexpr std::size_t blockLength = 1024;

// x^2.4 for x ≥ 0. x = m·2^k with m in [1, 2): m^2.4 is a polynomial in m − 1.5 (fitted for relative error, 2.2e-8);
// 2^(2.4k) = 2^n · 2^(j/5) with whole n nearest to 2.4k, so that j = 12k − 5n is one of −2 … 2 and exact, and 2^(j/5)
// the quartic through those five points. Zero and denormals give 0.
template<class D, class V = hn::Vec<D>>
V powerOf(D d, V x)
{
    const hn::RebindToSigned<D> di;
    const auto bits = hn::BitCast(di, x);
    const auto k = hn::ConvertTo(d, hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127)));
    const auto one = hn::Set(d, 1.0F);
    const V m = hn::Or(hn::BitCast(d, hn::And(bits, hn::Set(di, 0x007FFFFF))), one);
    const V t = hn::Sub(m, hn::Set(d, 1.5F));
    V mantissa = hn::Set(d, -0.0012575434520840645F);
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 0.003908349201083183F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, -0.0175139382481575F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 0.17560899257659912F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 1.9758087396621704F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 4.233884811401367F));
    mantissa = hn::MulAdd(mantissa, t, hn::Set(d, 2.6461777687072754F));

    // Bounded so that a zero ends at exponent field 0. Added to 1.5·2²³, n stands in the last bits of the sum.
    const auto magic = hn::Set(d, 12582912.0F);
    const V bounded = hn::Min(hn::Max(hn::Mul(k, hn::Set(d, 2.4F)), hn::Set(d, -127.0F)), hn::Set(d, 127.0F));
    const V sum = hn::Add(bounded, magic);
    const V n = hn::Sub(sum, magic);
    const V j = hn::Sub(hn::Mul(k, hn::Set(d, 12.0F)), hn::Mul(n, hn::Set(d, 5.0F)));
    V fifth = hn::Set(d, 1.5438369e-05F);
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 4.4617034e-04F));
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 9.6090208e-03F));
    fifth = hn::MulAdd(fifth, j, hn::Set(d, 0.13862773F));
    fifth = hn::MulAdd(fifth, j, one);

    const auto exponent = hn::Add(hn::BitCast(di, sum), hn::Set(di, 127));
    return hn::Mul(hn::Mul(mantissa, fifth), hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

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
