// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/adam_update.h"

#include <cassert>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/adam_update.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per instruction set
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace quantloupe::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// As many numbers as a vector holds of double. Divisions stay divisions, as in the reference.
template<class D>
void AdamStep(D d, float* parameters, const float* gradient, float* first, float* second, const AdamFactors& factors)
{
    const hn::Rebind<float, D> narrow;
    const auto wide = [&](const float* from) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(narrow, from)); };
    const auto g = wide(gradient);
    const auto mean =
        hn::Add(hn::Mul(hn::Set(d, factors.firstDecay), wide(first)), hn::Mul(hn::Set(d, 1.0 - factors.firstDecay), g));
    const auto square = hn::Add(hn::Mul(hn::Set(d, factors.secondDecay), wide(second)),
        hn::Mul(hn::Mul(hn::Set(d, 1.0 - factors.secondDecay), g), g));
    hn::StoreU(hn::DemoteTo(narrow, mean), narrow, first);
    hn::StoreU(hn::DemoteTo(narrow, square), narrow, second);
    const auto value = wide(parameters);
    const auto root = hn::Sqrt(hn::Div(square, hn::Set(d, factors.secondBias)));
    const auto move = hn::Div(hn::Div(mean, hn::Set(d, factors.firstBias)), hn::Add(root, hn::Set(d, factors.epsilon)));
    const auto whole = hn::Add(move, hn::Mul(hn::Set(d, factors.weightDecay), value));
    hn::StoreU(hn::DemoteTo(narrow, hn::Sub(value, hn::Mul(hn::Set(d, factors.rate), whole))), narrow, parameters);
}

void AdamUpdate(float* parameters, const float* gradient, float* first, float* second, std::size_t count,
    const AdamFactors& factors)
{
    const hn::ScalableTag<double> d;
    const hn::CappedTag<double, 1> one;
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
        AdamStep(d, parameters + i, gradient + i, first + i, second + i, factors);
    for (; i < count; ++i)
        AdamStep(one, parameters + i, gradient + i, first + i, second + i, factors);
}

}  // namespace quantloupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantloupe::kernels {

HWY_EXPORT(AdamUpdate);

void adamUpdate(std::span<float> parameters, std::span<const float> gradient, std::span<float> first,
    std::span<float> second, const AdamFactors& factors)
{
    assert(gradient.size() == parameters.size() && first.size() == parameters.size()
        && second.size() == parameters.size());
    HWY_DYNAMIC_DISPATCH(AdamUpdate)
    (parameters.data(), gradient.data(), first.data(), second.data(), parameters.size(), factors);
}

void adamUpdateReference(std::span<float> parameters, std::span<const float> gradient, std::span<float> first,
    std::span<float> second, const AdamFactors& factors)
{
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto g = static_cast<double>(gradient[i]);
        const double mean = (factors.firstDecay * static_cast<double>(first[i])) + ((1.0 - factors.firstDecay) * g);
        const double square =
            (factors.secondDecay * static_cast<double>(second[i])) + ((1.0 - factors.secondDecay) * g * g);
        first[i] = static_cast<float>(mean);
        second[i] = static_cast<float>(square);
        const auto value = static_cast<double>(parameters[i]);
        const double move = (mean / factors.firstBias) / (std::sqrt(square / factors.secondBias) + factors.epsilon);
        parameters[i] = static_cast<float>(value - (factors.rate * (move + (factors.weightDecay * value))));
    }
}

}  // namespace quantloupe::kernels
#endif
