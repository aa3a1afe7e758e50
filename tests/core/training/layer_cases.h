// SPDX-License-Identifier: GPL-3.0-or-later
// A layer with inputs, and what its outputs lose a second time: token by token, number by number, in double.
#pragma once

#include "core/training/layer_training.h"
#include "tests/support/synthetic_activations.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe::tests {

/// Mean over tokens of ‖(W − Ŵ)·x‖².
inline double slowLoss(std::span<const float> weights, std::span<const float> quantized, std::span<const float> tokens,
    std::size_t columns)
{
    double sum = 0.0;
    for (std::size_t t = 0; t < tokens.size(); t += columns)
        for (std::size_t row = 0; row < weights.size(); row += columns) {
            double lost = 0.0;
            for (std::size_t i = 0; i < columns; ++i)
                lost += (double(weights[row + i]) - double(quantized[row + i])) * double(tokens[t + i]);
            sum += lost * lost;
        }
    return sum / double(tokens.size() / columns);
}

inline LayerInputs sampleOf(std::vector<float> tokens, std::size_t columns)
{
    const auto count = tokens.size() / columns;
    return {.columns = columns, .tokens = count, .sample = std::move(tokens)};
}

/// Σ x·xᵀ, and no tokens.
inline LayerInputs momentsOf(const LayerInputs& sample)
{
    const auto n = sample.columns;
    LayerInputs inputs {.columns = n, .tokens = sample.tokens, .secondMoments = std::vector<double>(n * n)};
    for (std::size_t t = 0; t < sample.sample.size(); t += n)
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                inputs.secondMoments[i * n + j] += double(sample.sample[t + i]) * double(sample.sample[t + j]);
    return inputs;
}

struct LayerCase {
    std::size_t rows = 0, columns = 0;
    std::vector<float> weights = syntheticWeights(rows, columns, 5);
    LayerInputs sample = sampleOf(syntheticActivations(3 * columns, columns, 5), columns);
    LayerInputs moments = momentsOf(sample);
    LayerInputs heldOut = sampleOf(syntheticActivations(2 * columns, columns, 5, 30), columns);

    LayerToTrain byTokens() const { return {weights, rows, columns, &sample, &heldOut}; }
    LayerToTrain byMoments() const { return {weights, rows, columns, &moments, &heldOut}; }
};

}  // namespace quantloupe::tests
