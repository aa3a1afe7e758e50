// SPDX-License-Identifier: GPL-3.0-or-later
// The searches of ggml's quantizers, one operation at a time: the order of operations decides the bytes. Each operation
// rounds once, sums run from the first weight to the last, nothing is fused.
// Source: behaviour of ggml-quants.c (MIT licence, The ggml authors), described anew.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace quantloupe::kernels::ggml {

/// Below this largest magnitude a group counts as zero.
inline constexpr float kNothing = 1e-15F;
/// A weight beyond it has an infinite scale in every format.
inline constexpr float kLargestWeight = 0x1p30F;

/// What is quantized for a weight: always finite.
inline float finiteWeight(float weight)
{
    // Written so that NaN fails the comparison, too.
    if (!(std::fabs(weight) <= std::numeric_limits<float>::max()))
        return 0.0F;
    return std::clamp(weight, -kLargestWeight, kLargestWeight);
}

/// Nearest integer, ties to even, for |value| ≤ 4,194,303; beyond, what the bits of the sum happen to give. NaN: 0.
inline int nearestInteger(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value + 12582912.0F);
    return static_cast<int>(bits & 0x7fffffU) - 0x400000;
}

/// Binary16, ties to even; beyond it 65,504, NaN as 0.
inline std::uint16_t saturatedHalf(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 16U & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    std::uint32_t half = 0x7bffU;
    if (magnitude > 0x7f800000U)
        return 0;
    if (magnitude < 0x38800000U)  // subnormal: their step is that of 0.5, where the sum rounds
        half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
    else if (magnitude < 0x477ff000U)
        half = (magnitude + 0xfffU + (magnitude >> 13U & 1U) - 0x38000000U) >> 13U;
    return static_cast<std::uint16_t>(half | sign);
}

/// 1/scale, or 0 where that is not finite: the weights then get the code of zero.
inline float finiteReciprocal(float scale)
{
    const float reciprocal = 1.0F / scale;
    return std::fabs(reciprocal) <= std::numeric_limits<float>::max() ? reciprocal : 0.0F;
}

/// The first value of the largest magnitude, with its sign; 0 where there is none.
inline float extremeOf(std::span<const float> values)
{
    float extreme = 0.0F;
    for (const float value : values)
        if (std::fabs(value) > std::fabs(extreme))
            extreme = value;
    return extreme;
}

/// Left to right.
inline float sumOfSquares(std::span<const float> values)
{
    float sum = 0.0F;
    for (const float value : values)
        sum += value * value;
    return sum;
}

/// S1: values ≈ scale·(code − levels), codes 0 … 2·levels − 1; the extreme is tried at 19 places around −levels.
/// Weights: one per value, or empty: value². Returns the scale, whose sign turns the extreme to the lower end.
inline float signedFit(
    std::span<const float> values, std::span<const float> weights, int levels, std::span<std::uint8_t> codes)
{
    const float extreme = extremeOf(values);
    if (std::fabs(extreme) < kNothing) {
        std::fill_n(codes.begin(), values.size(), std::uint8_t(0));
        return 0.0F;
    }
    const auto codeOf = [&](float inverse, std::size_t i) {
        return std::clamp(nearestInteger(inverse * values[i]), -levels, levels - 1);
    };
    float scale = 0.0F, best = 0.0F;
    for (int attempt = 0; attempt < 19; ++attempt) {
        const int shift = attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;  // 0, −9 … −1, 1 … 9
        const float numerator = static_cast<float>(levels) + 0.1F * static_cast<float>(shift);
        const float inverse = -numerator / extreme;
        float a = 0.0F, b = 0.0F;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto code = static_cast<float>(codeOf(inverse, i));
            const float weight = weights.empty() ? values[i] * values[i] : weights[i];
            a += weight * values[i] * code;
            b += weight * code * code;
        }
        if (attempt == 0 ? true : b > 0.0F && a * a > best * b) {
            scale = b != 0.0F ? a / b : 0.0F;
            best = scale * a;
            for (std::size_t i = 0; i < values.size(); ++i)
                codes[i] = static_cast<std::uint8_t>(codeOf(inverse, i) + levels);
        }
    }
    return scale;
}

/// S2: as signedFit() without weights, but codes move one at a time where that lowers the error; five passes at most.
/// @pre at most 256 values
inline float descendingFit(std::span<const float> values, int levels, std::span<std::uint8_t> codes)
{
    const float extreme = extremeOf(values);
    if (std::fabs(extreme) < kNothing) {
        std::fill_n(codes.begin(), values.size(), std::uint8_t(0));
        return 0.0F;
    }
    const float inverse = static_cast<float>(-levels) / extreme;
    float a = 0.0F, b = 0.0F;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const int code = std::clamp(nearestInteger(inverse * values[i]), -levels, levels - 1);
        codes[i] = static_cast<std::uint8_t>(code + levels);
        const float weight = values[i] * values[i];
        a += weight * values[i] * static_cast<float>(code);
        b += weight * static_cast<float>(code) * static_cast<float>(code);
    }
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; ++pass) {
        changed = false;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float weight = values[i] * values[i];
            const auto code = static_cast<float>(codes[i] - levels);
            float newA = a - weight * values[i] * code;
            if (!(newA > 0.0F))
                continue;
            float newB = b - weight * code * code;
            const int moved = std::clamp(nearestInteger(values[i] * newB / newA), -levels, levels - 1);
            if (moved == codes[i] - levels)
                continue;
            const auto movedCode = static_cast<float>(moved);
            newA += weight * values[i] * movedCode;
            newB += weight * movedCode * movedCode;
            if (newB > 0.0F && newA * newA * b > a * a * newB) {
                codes[i] = static_cast<std::uint8_t>(moved + levels);
                a = newA;
                b = newB;
                changed = true;
            }
        }
    }
    return b > 0.0F ? a / b : 0.0F;
}

/// How affineFit() searches.
struct AffineSearch {
    float first = -0.9F;    ///< the first candidate's highest code, less the format's
    float step = 0.05F;     ///< between candidates
    int steps = 36;         ///< one less than there are candidates
    bool absolute = false;  ///< minds |error| instead of error²
    bool backwards = true;  ///< highest ≤ lowest counts as one value, not only highest == lowest
};

struct AffineGrid {
    float scale = 0.0F;
    float depth = 0.0F;  ///< minus the minimum, ≥ 0
};

/// S3: values ≈ scale·code − depth, codes 0 … highest; least squares for each of several stretches of the grid.
/// @pre at least one value, at most 32; one weight for each
inline AffineGrid affineFit(std::span<const float> values, std::span<const float> weights, int highest,
    const AffineSearch& search, std::span<std::uint8_t> codes)
{
    float lowest = values[0], top = values[0];
    float sumW = weights[0], sumX = weights[0] * values[0];
    for (std::size_t i = 1; i < values.size(); ++i) {
        lowest = values[i] < lowest ? values[i] : lowest;
        top = values[i] > top ? values[i] : top;
        sumW += weights[i];
        sumX += weights[i] * values[i];
    }
    lowest = lowest > 0.0F ? 0.0F : lowest;
    std::fill_n(codes.begin(), values.size(), std::uint8_t(0));
    if (search.backwards ? top <= lowest : top == lowest)
        return {0.0F, -lowest};
    std::uint8_t tried[32];
    const auto place = [&](float inverse, float minimum) {
        for (std::size_t i = 0; i < values.size(); ++i)
            tried[i] =
                static_cast<std::uint8_t>(std::clamp(nearestInteger(inverse * (values[i] - minimum)), 0, highest));
    };
    const auto errorOf = [&](float scale, float minimum) {
        float error = 0.0F;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float difference = scale * static_cast<float>(tried[i]) + minimum - values[i];
            error += weights[i] * (search.absolute ? std::fabs(difference) : difference * difference);
        }
        return error;
    };
    const auto highestCode = static_cast<float>(highest);
    float inverse = highestCode / (top - lowest);
    float scale = 1.0F / inverse, minimum = lowest;
    place(inverse, minimum);
    std::copy_n(tried, values.size(), codes.begin());
    float best = errorOf(scale, minimum);
    for (int k = 0; k <= search.steps; ++k) {
        // From the minimum of the best candidate so far, not from the lowest value.
        inverse = (search.first + search.step * static_cast<float>(k) + highestCode) / (top - minimum);
        place(inverse, minimum);
        float sumL = 0.0F, sumLl = 0.0F, sumLx = 0.0F;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto code = static_cast<float>(tried[i]);
            sumL += weights[i] * code;
            sumLl += weights[i] * code * code;
            sumLx += weights[i] * code * values[i];
        }
        const float determinant = sumW * sumLl - sumL * sumL;
        if (!(determinant > 0.0F))
            continue;
        float newScale = (sumW * sumLx - sumX * sumL) / determinant;
        float newMinimum = (sumLl * sumX - sumL * sumLx) / determinant;
        if (newMinimum > 0.0F) {
            newMinimum = 0.0F;
            newScale = sumLx / sumLl;
        }
        const float error = errorOf(newScale, newMinimum);
        if (error < best) {
            std::copy_n(tried, values.size(), codes.begin());
            best = error;
            scale = newScale;
            minimum = newMinimum;
        }
    }
    return {scale, -minimum};
}

/// S4: values ≈ scale·code, values ≥ 0, codes 0 … highest: how the scales of sub-blocks are quantized by importance.
inline float positiveFit(
    std::span<const float> values, std::span<const float> weights, int highest, std::span<std::uint8_t> codes)
{
    float top = 0.0F;
    for (const float value : values)
        top = value > top ? value : top;
    std::fill_n(codes.begin(), values.size(), std::uint8_t(0));
    if (top < kNothing)
        return 0.0F;
    const auto errorOf = [&](float inverse, bool limited) {
        const float scale = 1.0F / inverse;
        float error = 0.0F;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const int nearest = nearestInteger(inverse * values[i]);
            // The first attempt keeps its codes in a byte instead of limiting them.
            const int code = limited ? std::min(highest, nearest) : static_cast<std::uint8_t>(nearest);
            const float difference = values[i] - scale * static_cast<float>(code);
            error += weights[i] * difference * difference;
        }
        return error;
    };
    float inverse = static_cast<float>(highest) / top;
    float best = errorOf(inverse, false);
    for (int k = -4; k <= 4; ++k) {
        if (k == 0)
            continue;
        const float candidate = (0.1F * static_cast<float>(k) + static_cast<float>(highest)) / top;
        const float error = errorOf(candidate, true);
        if (error < best) {
            best = error;
            inverse = candidate;
        }
    }
    float a = 0.0F, b = 0.0F;
    for (std::size_t i = 0; i < values.size(); ++i) {
        codes[i] = static_cast<std::uint8_t>(std::min(highest, nearestInteger(inverse * values[i])));
        const auto code = static_cast<float>(std::min(highest, nearestInteger(inverse * values[i])));
        a += weights[i] * values[i] * code;
        b += weights[i] * code * code;
    }
    bool changed = true;
    for (int pass = 0; pass < 5 && changed; ++pass) {
        changed = false;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto code = static_cast<float>(codes[i]);
            float newA = a - weights[i] * values[i] * code;
            float newB = b - weights[i] * code * code;
            if (!(newA > 0.0F && newB > 0.0F))
                continue;
            const int moved = std::min(highest, nearestInteger(values[i] * newB / newA));
            if (moved == codes[i])
                continue;
            const auto movedCode = static_cast<float>(moved);
            newA += weights[i] * values[i] * movedCode;
            newB += weights[i] * movedCode * movedCode;
            if (newA * newA * b > a * a * newB) {
                codes[i] = static_cast<std::uint8_t>(moved);
                a = newA;
                b = newB;
                changed = true;
            }
        }
    }
    return b > 0.0F ? a / b : 0.0F;
}

}  // namespace quantloupe::kernels::ggml
