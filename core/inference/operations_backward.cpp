// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/operations_backward.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quantloupe {
namespace {

/// y = x̂·w + b with x̂ = (x − mean)·scale, so that dx = scale·(d − mean d − x̂·mean(d·x̂)) with d = dy·w. Without a
/// mean to subtract, its term is not there.
void normRowBackward(std::span<const float> x, const LoadedNorm& norm, NormKind kind, double epsilon,
    const float* resultGradient, float* xGradient, NormGradient& weights)
{
    const auto count = static_cast<double>(x.size());
    double mean = 0.0;
    if (kind == NormKind::Layer) {
        for (const float value : x)
            mean += static_cast<double>(value);
        mean /= count;
    }
    double squares = 0.0;
    for (const float value : x) {
        const double distance = static_cast<double>(value) - mean;
        squares += distance * distance;
    }
    const double scale = 1.0 / std::sqrt((squares / count) + epsilon);
    const double one = kind == NormKind::RmsPlusOne ? 1.0 : 0.0;
    const auto normedAt = [&](std::size_t i) { return (static_cast<double>(x[i]) - mean) * scale; };
    const auto weighedAt = [&](std::size_t i) {
        return static_cast<double>(resultGradient[i]) * (one + static_cast<double>(norm.weight[i]));
    };
    double sum = 0.0, along = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double normed = normedAt(i);
        const double weighed = weighedAt(i);
        sum += weighed;
        along += weighed * normed;
        weights.weight[i] += static_cast<double>(resultGradient[i]) * normed;
    }
    for (std::size_t i = 0; i < weights.bias.size(); ++i)
        weights.bias[i] += static_cast<double>(resultGradient[i]);
    const double shift = kind == NormKind::Layer ? sum / count : 0.0;
    for (std::size_t i = 0; i < x.size(); ++i)
        xGradient[i] += static_cast<float>(scale * (weighedAt(i) - shift - (normedAt(i) * along / count)));
}

void makeRoom(const LoadedNorm& norm, NormGradient& weights)
{
    weights.weight.resize(norm.weight.size());
    weights.bias.resize(norm.bias.size());
}

struct Exponentials {
    double largest = 0.0, sum = 0.0;

    explicit Exponentials(std::span<const float> logits)
        : largest(static_cast<double>(*std::max_element(logits.begin(), logits.end())))
    {
        for (const float logit : logits)
            sum += std::exp(static_cast<double>(logit) - largest);
    }
    double probability(float logit) const { return std::exp(static_cast<double>(logit) - largest) / sum; }
    double logProbability(float logit) const { return static_cast<double>(logit) - largest - std::log(sum); }
};

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
        const float share = 1.0F / (1.0F + std::exp(-x));
        return share * (1.0F + (x * (1.0F - share)));
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
        const float* gate = gateUp.row(row);
        const float* given = resultGradient.row(row);
        float* back = gateUpGradient.row(row);
        for (std::size_t i = 0; i < inner; ++i) {
            const float slope = activationSlope(gate[i], activation);
            back[i] = given[i] * slope * (gated ? gate[inner + i] : 1.0F);
            if (gated)
                back[inner + i] = given[i] * activate(gate[i], activation);
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
    const Exponentials own(logits);
    const double loss = -own.logProbability(logits[target]);
    for (std::size_t i = 0; i < logits.size(); ++i)
        logits[i] = static_cast<float>(own.probability(logits[i]) - (i == target ? 1.0 : 0.0));
    return loss;
}

double divergenceBackward(std::span<float> logits, std::span<const float> teacher)
{
    const Exponentials own(logits), taught(teacher);
    double loss = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double wanted = taught.probability(teacher[i]);
        loss += wanted * (taught.logProbability(teacher[i]) - own.logProbability(logits[i]));
        logits[i] = static_cast<float>(own.probability(logits[i]) - wanted);
    }
    return std::max(0.0, loss);
}

}  // namespace quantloupe
