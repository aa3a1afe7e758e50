// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/operations_backward.h"

#include "core/kernels/exponentials.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace quantloupe {
namespace {

void normRowBackward(std::span<const float> x, const LoadedNorm& norm, NormKind kind, double epsilon,
    const float* resultGradient, float* xGradient, NormGradient& weights)
{
    const auto scale = kernels::normScaleOf(x, epsilon, normScaleFor(kind));
    kernels::normalizeBackward(
        x, scale, norm.weight, {resultGradient, x.size()}, {xGradient, x.size()}, weights.weight);
    for (std::size_t i = 0; i < weights.bias.size(); ++i)
        weights.bias[i] += static_cast<double>(resultGradient[i]);
}

void makeRoom(const LoadedNorm& norm, NormGradient& weights)
{
    weights.weight.resize(norm.weight.size());
    weights.bias.resize(norm.bias.size());
}

}  // namespace

void normRowsBackward(kernels::ConstMatrix x, const LoadedNorm& norm, NormKind kind, double epsilon,
    kernels::ConstMatrix resultGradient, kernels::MutableMatrix xGradient, NormGradient& weights)
{
    makeRoom(norm, weights);
    for (std::size_t row = 0; row < x.rows; ++row)
        normRowBackward(
            {x.row(row), x.columns}, norm, kind, epsilon, resultGradient.row(row), xGradient.row(row), weights);
}

void normHeadsBackward(kernels::ConstMatrix values, std::size_t headDimension, const LoadedNorm& norm, NormKind kind,
    double epsilon, kernels::MutableMatrix gradient, NormGradient& weights)
{
    makeRoom(norm, weights);
    std::vector<float> result(headDimension);
    for (std::size_t row = 0; row < values.rows; ++row)
        for (std::size_t head = 0; head + headDimension <= values.columns; head += headDimension) {
            float* at = gradient.row(row) + head;
            std::copy_n(at, headDimension, result.begin());
            std::fill_n(at, headDimension, 0.0F);
            normRowBackward({values.row(row) + head, headDimension}, norm, kind, epsilon, result.data(), at, weights);
        }
}

float activationSlope(float x, Activation activation)
{
    switch (activation) {
    case Activation::Silu: {
        constexpr float one = 1.0F;
        float slope = 0.0F;
        kernels::siluBackward({&x, 1}, {}, {&one, 1}, {&slope, 1}, {});
        return slope;
    }
    case Activation::Gelu: {
        constexpr float height = std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;  // of the density
        const float below = 0.5F * (1.0F + std::erf(x * (std::numbers::sqrt2_v<float> / 2.0F)));
        return below + (x * height * std::exp(-0.5F * x * x));
    }
    case Activation::GeluTanh: {
        constexpr float slope = 0.7978845608028654F;  // √(2/π)
        constexpr float cubic = 0.044715F;
        const float bent = std::tanh(slope * (x + (cubic * x * x * x)));
        return (0.5F * (1.0F + bent)) + (0.5F * x * (1.0F - (bent * bent)) * slope * (1.0F + (3.0F * cubic * x * x)));
    }
    }
    return 1.0F;
}

void activateRowsBackward(kernels::ConstMatrix gateUp, bool gated, Activation activation,
    kernels::ConstMatrix resultGradient, kernels::MutableMatrix gateUpGradient)
{
    const auto inner = resultGradient.columns;
    for (std::size_t row = 0; row < gateUp.rows; ++row) {
        const std::span gate(gateUp.row(row), inner), up(gate.data() + inner, gated ? inner : 0);
        const std::span given(resultGradient.row(row), inner);
        const std::span back(gateUpGradient.row(row), inner), upBack(back.data() + inner, up.size());
        if (activation == Activation::Silu) {
            kernels::siluBackward(gate, up, given, back, upBack);
            continue;
        }
        for (std::size_t i = 0; i < inner; ++i) {
            back[i] = given[i] * activationSlope(gate[i], activation) * (gated ? up[i] : 1.0F);
            if (gated)
                upBack[i] = given[i] * activate(gate[i], activation);
        }
    }
}

void softCapBackward(std::span<const float> capped, float cap, std::span<float> gradient)
{
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        const float bent = capped[i] / cap;
        gradient[i] *= 1.0F - (bent * bent);
    }
}

void rotateHeadsBackward(kernels::MutableMatrix gradient, std::size_t headDimension, const RotaryTable& table,
    std::size_t firstPosition, PositionKind kind)
{
    auto back = table;
    for (auto& sine : back.sines)
        sine = -sine;
    rotateHeads(gradient, headDimension, back, firstPosition, kind);
}

double crossEntropyBackward(std::span<float> logits, std::uint32_t target)
{
    std::vector<double> own(logits.size());
    const double loss = kernels::logSoftmax(logits, own) - static_cast<double>(logits[target]);
    own[target] -= 1.0;
    std::transform(own.begin(), own.end(), logits.begin(), [](double slope) { return static_cast<float>(slope); });
    return loss;
}

double divergenceBackward(std::span<float> logits, std::span<const float> teacher)
{
    std::vector<double> own(logits.size()), taught(logits.size());
    const double logOwn = kernels::logSoftmax(logits, own), logTaught = kernels::logSoftmax(teacher, taught);
    double loss = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double apart = (static_cast<double>(teacher[i]) - logTaught) - (static_cast<double>(logits[i]) - logOwn);
        loss += taught[i] * apart;
        logits[i] = static_cast<float>(own[i] - taught[i]);
    }
    return std::max(0.0, loss);
}

}  // namespace quantloupe
