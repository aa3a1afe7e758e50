// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/operations.h"

#include "core/kernels/exponentials.h"
#include "core/kernels/integer_functions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

namespace quantloupe {
namespace {

/// What comes behind the weights.
void finishNorm(const LoadedNorm& norm, std::span<float> result)
{
    for (std::size_t i = 0; i < norm.bias.size(); ++i)
        result[i] += norm.bias[i];
    for (std::size_t i = 0; i < norm.divisors.size(); ++i)
        result[i] /= norm.divisors[i];
}

void normRowInIntegers(
    std::span<const float> x, const LoadedNorm& norm, NormKind kind, double epsilon, std::span<float> result)
{
    constexpr double largestStep = 32'767.0;
    float largest = 0.0F;
    for (const float value : x)
        largest = std::max(largest, std::abs(value));
    const double steps = largest > 0.0F ? largestStep / static_cast<double>(largest) : 1.0;
    std::vector<std::int16_t> values(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
        values[i] = static_cast<std::int16_t>(std::lrint(static_cast<double>(x[i]) * steps));
    const auto inSteps = std::min(std::nearbyint(epsilon * steps * steps), 0x1p39);
    std::vector<std::int32_t> normed(x.size());
    kernels::integerNormalize(values, kind == NormKind::Layer, static_cast<std::int64_t>(inSteps), normed);
    for (std::size_t i = 0; i < x.size(); ++i)
        result[i] = std::ldexp(static_cast<float>(normed[i]), -kernels::normalizedFractionBits);
    const float one = kind == NormKind::RmsPlusOne ? 1.0F : 0.0F;
    for (std::size_t i = 0; i < result.size(); ++i)
        result[i] *= one + norm.weight[i];
    finishNorm(norm, result);
}

void normRow(const float* x, const LoadedNorm& norm, NormRule rule, double epsilon, std::size_t size, float* result)
{
    const auto kind = rule.kind;
    if (rule.inIntegers && allFinite({x, size}))
        return normRowInIntegers({x, size}, norm, kind, epsilon, {result, size});
    const std::span row(x, size);
    const std::span out(result, size);
    const auto scale = kernels::normScaleOf(row, epsilon, normScaleFor(kind));
    kernels::normalize(row, scale, norm.weight, out);
    finishNorm(norm, out);
}

}  // namespace

kernels::NormScale normScaleFor(NormKind kind)
{
    return {.centers = kind == NormKind::Layer, .one = kind == NormKind::RmsPlusOne ? 1.0F : 0.0F};
}

void normRows(
    kernels::ConstMatrix x, const LoadedNorm& norm, NormRule rule, double epsilon, kernels::MutableMatrix result)
{
    for (std::size_t row = 0; row < x.rows; ++row)
        normRow(x.row(row), norm, rule, epsilon, x.columns, result.row(row));
}

void normHeads(
    kernels::MutableMatrix values, std::size_t headDimension, const LoadedNorm& norm, NormRule rule, double epsilon)
{
    for (std::size_t row = 0; row < values.rows; ++row)
        for (std::size_t head = 0; head + headDimension <= values.columns; head += headDimension) {
            float* at = values.row(row) + head;
            normRow(at, norm, rule, epsilon, headDimension, at);
        }
}

float activate(float x, Activation activation)
{
    switch (activation) {
    case Activation::Silu: {
        float activated = 0.0F;
        kernels::silu({&x, 1}, {}, {&activated, 1});
        return activated;
    }
    case Activation::Gelu: return 0.5F * x * (1.0F + std::erf(x * (std::numbers::sqrt2_v<float> / 2.0F)));
    case Activation::GeluTanh: {
        constexpr float slope = 0.7978845608028654F;  // √(2/π)
        return 0.5F * x * (1.0F + std::tanh(slope * (x + 0.044715F * x * x * x)));
    }
    }
    return x;
}

void activateRows(kernels::ConstMatrix gateUp, bool gated, Activation activation, kernels::MutableMatrix result)
{
    const auto inner = result.columns;
    for (std::size_t row = 0; row < gateUp.rows; ++row) {
        const std::span gate(gateUp.row(row), inner), up(gate.data() + inner, gated ? inner : 0);
        const std::span out(result.row(row), inner);
        if (activation == Activation::Silu) {
            kernels::silu(gate, up, out);
            continue;
        }
        for (std::size_t i = 0; i < inner; ++i)
            out[i] = activate(gate[i], activation) * (gated ? up[i] : 1.0F);
    }
}

void softCap(std::span<float> values, float cap)
{
    for (auto& value : values)
        value = cap * std::tanh(value / cap);
}

void softmaxInIntegers(std::span<float> values)
{
    constexpr float farthest = 64.0F;  // where nothing is left of e^−x
    const float largest = *std::max_element(values.begin(), values.end());
    std::vector<std::int32_t> scores(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
        scores[i] = static_cast<std::int32_t>(
            std::lrint(std::ldexp(std::max(values[i] - largest, -farthest), kernels::scoreFractionBits)));
    kernels::integerSoftmax(scores, scores);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = std::ldexp(static_cast<float>(scores[i]), -kernels::probabilityFractionBits);
}

void addRows(kernels::ConstMatrix addend, kernels::MutableMatrix x)
{
    for (std::size_t row = 0; row < x.rows; ++row)
        for (std::size_t i = 0; i < x.columns; ++i)
            x.row(row)[i] += addend.row(row)[i];
}

bool allFinite(std::span<const float> values)
{
    // Products with 0 are NaN for NaN and infinities, 0 otherwise: one test for all. Lanes do not wait for one another.
    std::array<float, 16> sums {};
    std::size_t first = 0;
    for (; first + sums.size() <= values.size(); first += sums.size())
        for (std::size_t lane = 0; lane < sums.size(); ++lane)
            sums[lane] += values[first + lane] * 0.0F;
    for (; first < values.size(); ++first)
        sums.front() += values[first] * 0.0F;
    return std::all_of(sums.begin(), sums.end(), [](float sum) { return sum == 0.0F; });
}

void addBias(std::span<const float> bias, kernels::MutableMatrix x)
{
    if (bias.empty())
        return;
    for (std::size_t row = 0; row < x.rows; ++row)
        for (std::size_t i = 0; i < x.columns; ++i)
            x.row(row)[i] += bias[i];
}

}  // namespace quantloupe
