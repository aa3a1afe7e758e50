// SPDX-License-Identifier: GPL-3.0-or-later
// The inputs of the golden set's synthetic layers: exact IEEE double arithmetic, same bits everywhere.
#pragma once

#include "tests/support/synthetic_layer.h"

namespace quantloupe::tests {

/// Inputs [tokens][columns] of layer `seed`: sixteen shared factors, loud channels, a mean of its own for each, rare
/// loud tokens. first: 20 for calibration, 30 for evaluation.
inline std::vector<float> syntheticActivations(
    std::size_t tokens, std::size_t columns, std::uint64_t seed, std::uint64_t first = 20)
{
    constexpr std::size_t kFactors = 16;
    const auto stream = [seed](std::uint64_t k) { return seed * 1000003U + k; };
    std::vector<double> mixing(kFactors * columns), loudness(columns), mean(columns);
    for (std::size_t n = 0; n < mixing.size(); ++n)
        mixing[n] = nearlyNormal(stream(6), n) * 0.25;
    for (std::size_t i = 0; i < columns; ++i) {
        const double v = uniform(stream(7), i);
        loudness[i] = 0.3 + 1.7 * (v * v * v);
        mean[i] = nearlyNormal(stream(10), i) * 0.2;
    }
    for (std::size_t j = 0; j < std::max<std::size_t>(2, columns / 64); ++j) {
        const auto column = static_cast<std::size_t>(uniform(stream(8), j) * static_cast<double>(columns));
        loudness[column] = 10.0 + 30.0 * uniform(stream(9), j);
    }
    std::vector<float> inputs(tokens * columns);
    for (std::size_t t = 0; t < tokens; ++t) {
        double factors[kFactors];
        for (std::size_t j = 0; j < kFactors; ++j)
            factors[j] = nearlyNormal(stream(first), t * kFactors + j);
        double size = 0.5 + uniform(stream(first + 2), 2 * t);
        if (uniform(stream(first + 2), 2 * t + 1) < 0.01)
            size = size + 3.0;
        for (std::size_t i = 0; i < columns; ++i) {
            double x = factors[0] * mixing[i];
            for (std::size_t j = 1; j < kFactors; ++j)
                x = x + factors[j] * mixing[j * columns + i];
            x = x + 0.6 * nearlyNormal(stream(first + 1), t * columns + i);
            x = (x + mean[i]) * loudness[i];
            inputs[t * columns + i] = static_cast<float>(x * size);
        }
    }
    return inputs;
}

}  // namespace quantloupe::tests
