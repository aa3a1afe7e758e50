// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/norm_rows.h"

#include <cassert>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/norm_rows.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>
#include "core/kernels/vectors_inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template<class D>
HWY_INLINE hn::Vec<D> wide(D d, const float* from)
{
    const hn::Rebind<float, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, from));
}

// Σ of term(tag, index): two sums of whole vectors, so that no addition waits for the one before it, then the rest.
template<class Term>
HWY_INLINE double SumOf(std::size_t count, const Term& term)
{
    const hn::ScalableTag<double> d;
    const hn::CappedTag<double, 1> one;
    auto even = hn::Zero(d), odd = hn::Zero(d);
    std::size_t i = 0;
    for (; i + 2 * hn::Lanes(d) <= count; i += 2 * hn::Lanes(d)) {
        even = hn::Add(even, term(d, i));
        odd = hn::Add(odd, term(d, i + hn::Lanes(d)));
    }
    double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
    for (; i < count; ++i)
        sum += hn::GetLane(term(one, i));
    return sum;
}

double Sum(const float* x, std::size_t count)
{
    return SumOf(count, [&](auto d, std::size_t i) HWY_ATTR { return wide(d, x + i); });
}

double Squares(const float* x, std::size_t count, double mean)
{
    return SumOf(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto distance = hn::Sub(wide(d, x + i), hn::Set(d, mean));
        return hn::Mul(distance, distance);
    });
}

void Normalize(const float* x, const NormScale& scale, const float* weight, std::size_t count, float* result)
{
    const auto center = static_cast<float>(scale.mean), factor = static_cast<float>(scale.scale);
    ForEachVector<float>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, center)), hn::Set(d, factor));
        const auto by = hn::Add(hn::Set(d, scale.one), hn::LoadU(d, weight + i));
        hn::StoreU(hn::Mul(normed, by), d, result + i);
    });
}

struct NormedAt {
    const float* x;
    const float* weight;
    const float* given;
    const NormScale& scale;

    template<class D>
    HWY_INLINE hn::Vec<D> normed(D d, std::size_t i) const
    {
        return hn::Mul(hn::Sub(wide(d, x + i), hn::Set(d, scale.mean)), hn::Set(d, scale.scale));
    }
    template<class D>
    HWY_INLINE hn::Vec<D> weighed(D d, std::size_t i) const
    {
        return hn::Mul(wide(d, given + i), hn::Add(hn::Set(d, static_cast<double>(scale.one)), wide(d, weight + i)));
    }
};

void NormalizeBackward(const float* x, const NormScale& scale, const float* weight, const float* given,
    std::size_t count, float* xGradient, double* weightGradient)
{
    const NormedAt at {x, weight, given, scale};
    const auto size = static_cast<double>(count);
    const double along = SumOf(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto normed = at.normed(d, i);
        const auto byWeight = hn::MulAdd(wide(d, given + i), normed, hn::LoadU(d, weightGradient + i));
        hn::StoreU(byWeight, d, weightGradient + i);
        return hn::Mul(at.weighed(d, i), normed);
    });
    const double shift =
        scale.centers ? SumOf(count, [&](auto d, std::size_t i) HWY_ATTR { return at.weighed(d, i); }) / size : 0.0;
    ForEachVector<double>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const hn::Rebind<float, decltype(d)> half;
        const auto straight = hn::Sub(at.weighed(d, i), hn::Set(d, shift));
        const auto back = hn::NegMulAdd(at.normed(d, i), hn::Set(d, along / size), straight);
        const auto added = hn::DemoteTo(half, hn::Mul(hn::Set(d, scale.scale), back));
        hn::StoreU(hn::Add(hn::LoadU(half, xGradient + i), added), half, xGradient + i);
    });
}

void SoftmaxBackward(const float* probabilities, std::size_t count, float* gradient)
{
    const auto mean = static_cast<float>(SumOf(count,
        [&](auto d, std::size_t i) HWY_ATTR { return hn::Mul(wide(d, probabilities + i), wide(d, gradient + i)); }));
    ForEachVector<float>(count, [&](auto d, std::size_t i) HWY_ATTR {
        const auto apart = hn::Sub(hn::LoadU(d, gradient + i), hn::Set(d, mean));
        hn::StoreU(hn::Mul(hn::LoadU(d, probabilities + i), apart), d, gradient + i);
    });
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(Sum);
HWY_EXPORT(Squares);
HWY_EXPORT(Normalize);
HWY_EXPORT(NormalizeBackward);
HWY_EXPORT(SoftmaxBackward);

NormScale normScaleOf(std::span<const float> x, double epsilon, NormScale wished)
{
    const auto count = static_cast<double>(x.size());
    wished.mean = wished.centers ? HWY_DYNAMIC_DISPATCH(Sum)(x.data(), x.size()) / count : 0.0;
    const double squares = HWY_DYNAMIC_DISPATCH(Squares)(x.data(), x.size(), wished.mean);
    wished.scale = 1.0 / std::sqrt((squares / count) + epsilon);
    return wished;
}

NormScale normScaleOfReference(std::span<const float> x, double epsilon, NormScale wished)
{
    const auto count = static_cast<double>(x.size());
    wished.mean = 0.0;
    if (wished.centers)
        for (const float value : x)
            wished.mean += static_cast<double>(value) / count;
    double squares = 0.0;
    for (const float value : x)
        squares += (static_cast<double>(value) - wished.mean) * (static_cast<double>(value) - wished.mean);
    wished.scale = 1.0 / std::sqrt((squares / count) + epsilon);
    return wished;
}

void normalize(std::span<const float> x, const NormScale& scale, std::span<const float> weight, std::span<float> result)
{
    assert(weight.size() == x.size() && result.size() == x.size());
    HWY_DYNAMIC_DISPATCH(Normalize)(x.data(), scale, weight.data(), x.size(), result.data());
}

void normalizeReference(
    std::span<const float> x, const NormScale& scale, std::span<const float> weight, std::span<float> result)
{
    for (std::size_t i = 0; i < x.size(); ++i)
        result[i] =
            ((x[i] - static_cast<float>(scale.mean)) * static_cast<float>(scale.scale)) * (scale.one + weight[i]);
}

void normalizeBackward(std::span<const float> x, const NormScale& scale, std::span<const float> weight,
    std::span<const float> resultGradient, std::span<float> xGradient, std::span<double> weightGradient)
{
    assert(weight.size() == x.size() && resultGradient.size() == x.size());
    assert(xGradient.size() == x.size() && weightGradient.size() == x.size());
    HWY_DYNAMIC_DISPATCH(NormalizeBackward)
    (x.data(), scale, weight.data(), resultGradient.data(), x.size(), xGradient.data(), weightGradient.data());
}

void normalizeBackwardReference(std::span<const float> x, const NormScale& scale, std::span<const float> weight,
    std::span<const float> resultGradient, std::span<float> xGradient, std::span<double> weightGradient)
{
    const auto count = static_cast<double>(x.size());
    const auto normedAt = [&](std::size_t i) { return (static_cast<double>(x[i]) - scale.mean) * scale.scale; };
    const auto weighedAt = [&](std::size_t i) {
        return static_cast<double>(resultGradient[i])
            * (static_cast<double>(scale.one) + static_cast<double>(weight[i]));
    };
    double sum = 0.0, along = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        sum += weighedAt(i);
        along += weighedAt(i) * normedAt(i);
        weightGradient[i] += static_cast<double>(resultGradient[i]) * normedAt(i);
    }
    const double shift = scale.centers ? sum / count : 0.0;
    for (std::size_t i = 0; i < x.size(); ++i)
        xGradient[i] += static_cast<float>(scale.scale * (weighedAt(i) - shift - (normedAt(i) * along / count)));
}

void softmaxBackward(std::span<const float> probabilities, std::span<float> gradient)
{
    assert(probabilities.size() == gradient.size());
    HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(probabilities.data(), gradient.size(), gradient.data());
}

void softmaxBackwardReference(std::span<const float> probabilities, std::span<float> gradient)
{
    double mean = 0.0;
    for (std::size_t i = 0; i < gradient.size(); ++i)
        mean += static_cast<double>(probabilities[i]) * static_cast<double>(gradient[i]);
    for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = probabilities[i] * (gradient[i] - static_cast<float>(mean));
}

}  // namespace quantloupe::kernels
#endif
