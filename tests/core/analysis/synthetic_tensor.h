// SPDX-License-Identifier: GPL-3.0-or-later
// Tensors in memory, for tests that need no file.
#pragma once

#include "core/model/model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace quantloupe::tests {

/// A tensor that owns its bytes. Not to be copied: the view points into it.
class SyntheticTensor
{
public:
    /// F32 takes the values as they are; BF16 and F16 cut the significand (exact for what cut() gives).
    SyntheticTensor(std::size_t rows, std::size_t columns, std::vector<float> values, DType dtype = DType::F32)
        : m_values(std::move(values))
    {
        const std::size_t width = dtype == DType::F32 ? 4 : 2;
        m_bytes.resize(m_values.size() * width);
        for (std::size_t i = 0; i < m_values.size(); ++i) {
            const auto bits = encode(m_values[i], dtype);
            std::memcpy(m_bytes.data() + i * width, &bits, width);
        }
        m_tensor.name = "synthetic.weight";
        m_tensor.view = {.dtype = dtype, .shape = {rows, columns}, .bytes = m_bytes};
    }
    SyntheticTensor(const SyntheticTensor&) = delete;
    SyntheticTensor& operator=(const SyntheticTensor&) = delete;

    const ModelTensor& tensor() const { return m_tensor; }
    const std::vector<float>& values() const { return m_values; }

private:
    static std::uint32_t encode(float value, DType dtype)
    {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        if (dtype == DType::F32)
            return bits;
        if (dtype == DType::BF16)
            return bits >> 16;
        const std::uint32_t sign = bits >> 16 & 0x8000U;
        if (!std::isfinite(value))
            return sign | (std::isnan(value) ? 0x7E00U : 0x7C00U);
        if (std::abs(value) < 6.2e-5F)
            return sign;
        return sign | ((bits >> 13 & 0x3FFFFU) - (112U << 10));
    }

    std::vector<float> m_values;
    std::vector<std::byte> m_bytes;
    ModelTensor m_tensor;
};

/// A value that F32, BF16 and F16 all hold exactly. @pre finite
inline float cut(float value)
{
    // Arithmetic rather than a mask on the bits, which g++ 12 drops after isfinite() when it optimises.
    int exponent = 0;
    const float significand = std::frexp(value, &exponent);
    return std::abs(value) < 7e-5F ? 0.0F : std::ldexp(std::trunc(std::ldexp(significand, 8)), exponent - 8);
}

/// LLM-like weights with tails, outlier columns and, where asked for, a share of non-finite values.
inline std::vector<float> llmWeights(std::size_t rows, std::size_t columns, unsigned seed, double nonFinite = 0.0)
{
    std::mt19937 random(seed);
    std::student_t_distribution<float> tail(6.0F);
    std::uniform_real_distribution<double> share(0.0, 1.0);
    std::vector<float> weights(rows * columns);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] = cut(tail(random) * (i % columns == columns / 3 ? 0.2F : 0.02F));
        if (share(random) < nonFinite)
            weights[i] = i % 3 == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    }
    return weights;
}

}  // namespace quantloupe::tests
