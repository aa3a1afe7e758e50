// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/exponentials.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/exponentials.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/vectors_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x; infinity above 88. x = n·ln 2 + r with n whole, ln 2 in two parts of which the first times n is exact.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V exponential(D d, V x)
{
    const hn::RebindToSigned<D> di;
    const auto magic = hn::Set(d, 12'582'912.0F);  // 1.5·2²³: added, whole numbers stand in the last bits
    const V bounded = hn::Min(hn::Max(x, hn::Set(d, -88.0F)), hn::Set(d, 88.0F));
    const V sum = hn::MulAdd(bounded, hn::Set(d, 1.44269504F), magic);
    const V n = hn::Sub(sum, magic);
    const V r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), hn::NegMulAdd(n, hn::Set(d, 0.693359375F), bounded));
    V p = hn::Set(d, 1.9875691500e-4F);
    for (const float factor :
        {1.3981999507e-3F, 8.3334519073e-3F, 4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F})
        p = hn::MulAdd(p, r, hn::Set(d, factor));
    p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0F));
    const auto exponent = hn::ShiftLeft<23>(hn::Sub(hn::BitCast(di, sum), hn::BitCast(di, magic)));
    const V power = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
    const V normal = hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.3F)), hn::Zero(d), power);
    const V infinity = hn::Set(d, std::numeric_limits<float>::infinity());
    return hn::IfThenElse(hn::Eq(x, x), hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.0F)), infinity, normal), x);
}

// The same in double, for x ≤ 708.
template<class D, class V = hn::Vec<D>>
HWY_INLINE V wideExponential(D d, V x)
{
    const hn::RebindToSigned<D> di;
    const auto magic = hn::Set(d, 6'755'399'441'055'744.0);  // 1.5·2⁵²
    const V bounded = hn::Min(hn::Max(x, hn::Set(d, -708.0)), hn::Set(d, 708.0));
    const V sum = hn::MulAdd(bounded, hn::Set(d, 1.4426950408889634), magic);
    const V n = hn::Sub(sum, magic);
    const V r = hn::NegMulAdd(
        n, hn::Set(d, 1.42860682030941723212e-6), hn::NegMulAdd(n, hn::Set(d, 6.93145751953125e-1), bounded));
    const V square = hn::Mul(r, r);
    V p = hn::Set(d, 1.26177193074810590878e-4);
    for (const double factor : {3.02994407707441961300e-2, 9.99999999999999999910e-1})
        p = hn::MulAdd(p, square, hn::Set(d, factor));
    p = hn::Mul(p, r);
    V q = hn::Set(d, 3.00198505138664455042e-6);
    for (const double factor : {2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.0})
        q = hn::MulAdd(q, square, hn::Set(d, factor));
    const V fraction = hn::Div(p, hn::Sub(q, p));
    const V mantissa = hn::Add(hn::Set(d, 1.0), hn::Add(fraction, fraction));
    const auto exponent = hn::ShiftLeft<52>(hn::Sub(hn::BitCast(di, sum), hn::BitCast(di, magic)));
    const V power = hn::BitCast(d, hn::Add(hn::BitCast(di, mantissa), exponent));
    const V normal = hn::IfThenElse(hn::Lt(x, hn::Set(d, -708.0)), hn::Zero(d), power);
    return hn::IfThenElse(hn::Eq(x, x), normal, x);
}

float Largest(const float* values, std::size_t count)
{
    const hn::ScalableTag<float> d;
    float largest = values[0];
    std::size_t i = 0;
    auto most = hn::Set(d, largest);
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        most = hn::Max(most, hn::LoadU(d, values + i));
    largest = hn::GetLane(hn::MaxOfLanes(d, most));
    for (; i < count; ++i)
        largest = HWY_MAX(largest, values[i]);
    return largest;
}

void Softmax(float* values, std::size_t count)
{
    const hn::ScalableTag<double> wide;
    const hn::Rebind<float, decltype(wide)> half;
    const float largest = Largest(values, count);
    ForEachVector<float>(count, [&](auto d, std::size_t i) HWY_ATTR {
        hn::StoreU(exponential(d, hn::Sub(hn::LoadU(d, values + i), hn::Set(d, largest))), d, values + i);
    });
    auto sums = hn::Zero(wide);
    std::size_t i = 0;
    for (; i + hn::Lanes(wide) <= count; i += hn::Lanes(wide))
        sums = hn::Add(sums, hn::PromoteTo(wide, hn::LoadU(half, values + i)));
    double sum = hn::GetLane(hn::SumOfLanes(wide, sums));
    for (; i < count; ++i)
        sum += static_cast<double>(values[i]);
    const auto scale = static_cast<float>(1.0 / sum);
    ForEachVector<float>(count, [&](auto d, std::size_t at) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::LoadU(d, values + at), hn::Set(d, scale)), d, values + at);
    });
}

double LogSoftmax(const float* values, std::size_t count, double* probabilities)
{
    const hn::ScalableTag<double> wide;
    const auto largest = static_cast<double>(Largest(values, count));
    ForEachVector<double>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const hn::Rebind<float, decltype(d)> half;
        const auto x = hn::PromoteTo(d, hn::LoadU(half, values + i));
        hn::StoreU(wideExponential(d, hn::Sub(x, hn::Set(d, largest))), d, probabilities + i);
    });
    auto sums = hn::Zero(wide);
    std::size_t i = 0;
    for (; i + hn::Lanes(wide) <= count; i += hn::Lanes(wide))
        sums = hn::Add(sums, hn::LoadU(wide, probabilities + i));
    double sum = hn::GetLane(hn::SumOfLanes(wide, sums));
    for (; i < count; ++i)
        sum += probabilities[i];
    ForEachVector<double>(count, [&](auto d, std::size_t at) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::LoadU(d, probabilities + at), hn::Set(d, 1.0 / sum)), d, probabilities + at);
    });
    return largest + std::log(sum);
}

// 1 / (1 + e^−x).
template<class D, class V = hn::Vec<D>>
HWY_INLINE V logistic(D d, V x)
{
    const auto one = hn::Set(d, 1.0F);
    return hn::Div(one, hn::Add(one, exponential(d, hn::Neg(x))));
}

void Silu(const float* x, const float* up, float* result, std::size_t count)
{
    ForEachVector<float>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto at = hn::LoadU(d, x + i);
        const auto activated = hn::Div(at, hn::Add(hn::Set(d, 1.0F), exponential(d, hn::Neg(at))));
        hn::StoreU(up ? hn::Mul(activated, hn::LoadU(d, up + i)) : activated, d, result + i);
    });
}

void SiluBackward(
    const float* x, const float* up, const float* given, float* xGradient, float* upGradient, std::size_t count)
{
    ForEachVector<float>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto one = hn::Set(d, 1.0F);
        const auto at = hn::LoadU(d, x + i), gradient = hn::LoadU(d, given + i);
        const auto share = logistic(d, at);
        const auto slope = hn::Mul(share, hn::MulAdd(at, hn::Sub(one, share), one));
        const auto back = hn::Mul(gradient, slope);
        hn::StoreU(up ? hn::Mul(back, hn::LoadU(d, up + i)) : back, d, xGradient + i);
        if (up)
            hn::StoreU(hn::Mul(gradient, hn::Mul(at, share)), d, upGradient + i);
    });
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Softmax);
HWY_EXPORT(LogSoftmax);
HWY_EXPORT(Silu);
HWY_EXPORT(SiluBackward);

void softmax(std::span<float> values)
{
    HWY_DYNAMIC_DISPATCH(Softmax)(values.data(), values.size());
}

void softmaxReference(std::span<float> values)
{
    std::vector<double> probabilities(values.size());
    logSoftmaxReference(values, probabilities);
    std::transform(probabilities.begin(), probabilities.end(), values.begin(),
        [](double probability) { return static_cast<float>(probability); });
}

double logSoftmax(std::span<const float> values, std::span<double> probabilities)
{
    assert(probabilities.size() == values.size());
    return HWY_DYNAMIC_DISPATCH(LogSoftmax)(values.data(), values.size(), probabilities.data());
}

double logSoftmaxReference(std::span<const float> values, std::span<double> probabilities)
{
    const auto largest = static_cast<double>(*std::max_element(values.begin(), values.end()));
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        probabilities[i] = std::exp(static_cast<double>(values[i]) - largest);
        sum += probabilities[i];
    }
    for (double& probability : probabilities)
        probability /= sum;
    return largest + std::log(sum);
}

void silu(std::span<const float> x, std::span<const float> up, std::span<float> result)
{
    assert(result.size() == x.size() && (up.empty() || up.size() == x.size()));
    HWY_DYNAMIC_DISPATCH(Silu)(x.data(), up.empty() ? nullptr : up.data(), result.data(), x.size());
}

void siluReference(std::span<const float> x, std::span<const float> up, std::span<float> result)
{
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto at = static_cast<double>(x[i]);
        result[i] = static_cast<float>(at / (1.0 + std::exp(-at)) * (up.empty() ? 1.0 : static_cast<double>(up[i])));
    }
}

void siluBackward(std::span<const float> x, std::span<const float> up, std::span<const float> resultGradient,
    std::span<float> xGradient, std::span<float> upGradient)
{
    assert(resultGradient.size() == x.size() && xGradient.size() == x.size() && upGradient.size() == up.size());
    HWY_DYNAMIC_DISPATCH(SiluBackward)
    (x.data(), up.empty() ? nullptr : up.data(), resultGradient.data(), xGradient.data(), upGradient.data(), x.size());
}

void siluBackwardReference(std::span<const float> x, std::span<const float> up, std::span<const float> resultGradient,
    std::span<float> xGradient, std::span<float> upGradient)
{
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto at = static_cast<double>(x[i]), given = static_cast<double>(resultGradient[i]);
        const double share = 1.0 / (1.0 + std::exp(-at));
        const double slope = share * (1.0 + (at * (1.0 - share)));
        xGradient[i] = static_cast<float>(given * slope * (up.empty() ? 1.0 : static_cast<double>(up[i])));
        if (!up.empty())
            upGradient[i] = static_cast<float>(given * at * share);
    }
}

}  // namespace quantloupe::kernels
#endif
