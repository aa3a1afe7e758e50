// SPDX-License-Identifier: GPL-3.0-or-later
// The generator of the golden set's synthetic layers: exact IEEE double arithmetic, same bits everywhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe::tests {

inline std::uint64_t splitMix(std::uint64_t seed, std::uint64_t i)
{
    std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

inline double uniform(std::uint64_t seed, std::uint64_t i)
{
    return static_cast<double>(splitMix(seed, i) >> 11U) * 0x1p-53;
}

/// Sum of twelve uniform numbers, less six.
inline double nearlyNormal(std::uint64_t seed, std::uint64_t i)
{
    double sum = uniform(seed, 12 * i);
    for (std::uint64_t k = 1; k < 12; ++k)
        sum = sum + uniform(seed, 12 * i + k);
    return sum - 6.0;
}

/// Weights [rows][columns] of layer `seed`: heavy tails, rows of different size, a few loud columns, rare outliers.
inline std::vector<float> syntheticWeights(std::size_t rows, std::size_t columns, std::uint64_t seed)
{
    const auto stream = [seed](std::uint64_t k) { return seed * 1000003U + k; };
    std::vector<double> loudness(columns, 1.0);
    for (std::size_t j = 0; j < std::max<std::size_t>(2, columns / 128); ++j) {
        const auto column = static_cast<std::size_t>(uniform(stream(3), j) * static_cast<double>(columns));
        loudness[column] = 2.0 + 2.0 * uniform(stream(4), j);
    }
    std::vector<float> weights(rows * columns);
    for (std::size_t o = 0; o < rows; ++o) {
        const double row = 0.6 + 0.8 * uniform(stream(2), o);
        for (std::size_t i = 0; i < columns; ++i) {
            const std::size_t n = o * columns + i;
            const double g = nearlyNormal(stream(1), n);
            double w = g * (1.0 + 0.08 * (g * g));
            w = (w * row) * loudness[i];
            if (uniform(stream(5), n) < 0.0003)
                w = w * 4.0;
            weights[n] = static_cast<float>(w * 0.02);
        }
    }
    return weights;
}

}  // namespace quantloupe::tests
