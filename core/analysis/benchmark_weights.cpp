// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/benchmark_weights.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>

namespace quantloupe {

namespace {

std::uint64_t nextRandom(std::uint64_t& state)
{
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return state;
}

/// Sum of four uniform bytes, centred and scaled: near enough to a bell, and quick.
float drawWeight(std::uint64_t& state)
{
    nextRandom(state);
    const auto sum = static_cast<std::int32_t>(
        (state & 0xFFU) + (state >> 8U & 0xFFU) + (state >> 16U & 0xFFU) + (state >> 24U & 0xFFU));
    // The rest of the state fills the low bits, so that values do not repeat.
    return (static_cast<float>(sum - 510) + static_cast<float>(state >> 40U) * 0x1p-24F) * 1.4e-4F;
}

/// In (0, 1].
double uniform(std::uint64_t& state)
{
    return (static_cast<double>(nextRandom(state) >> 11U) + 1.0) * 0x1p-53;
}

/// Box and Muller, 1958.
double gaussian(std::uint64_t& state)
{
    const double size = std::sqrt(-2.0 * std::log(uniform(state)));
    return size * std::cos(2.0 * std::numbers::pi * uniform(state));
}

float drawWeight(WeightShape shape, std::uint64_t& state)
{
    constexpr double deviation = 0.02;
    switch (shape) {
    case WeightShape::Bell: break;
    case WeightShape::Gaussian: return static_cast<float>(deviation * gaussian(state));
    case WeightShape::HeavyTailed: {
        // A chi-square of four degrees of freedom is −2·ln of a product of two uniform numbers.
        const double chiSquare = -2.0 * std::log(uniform(state) * uniform(state));
        return static_cast<float>(deviation * gaussian(state) / std::sqrt(chiSquare / 4.0 + 1e-12));
    }
    }
    return drawWeight(state);
}

std::uint16_t toHalf(float weight)
{
    // Normal halves only: what is smaller becomes zero. Speed does not depend on it.
    const auto bits = std::bit_cast<std::uint32_t>(weight);
    const std::uint32_t sign = bits >> 16U & 0x8000U, exponent = bits >> 23U & 0xFFU;
    return static_cast<std::uint16_t>(exponent < 113 ? sign : sign | ((bits >> 13U & 0x3FFFFU) - (112U << 10U)));
}

}  // namespace

BenchmarkTensor::BenchmarkTensor(std::uint64_t rows, std::uint64_t columns, DType dtype, WeightShape weights)
{
    const auto count = static_cast<std::size_t>(rows * columns);
    const std::size_t width = dtype == DType::F32 ? 4 : 2;
    m_storage.resize((count * width + 3) / 4);
    auto* bytes = reinterpret_cast<std::byte*>(m_storage.data());
    std::uint64_t state = 0x9E3779B97F4A7C15U;
    for (std::size_t i = 0; i < count; ++i) {
        const float weight = drawWeight(weights, state);
        const auto whole = std::bit_cast<std::uint32_t>(weight);
        const auto half = dtype == DType::F16 ? toHalf(weight) : static_cast<std::uint16_t>(whole >> 16U);
        std::memcpy(bytes + i * width, dtype == DType::F32 ? static_cast<const void*>(&whole) : &half, width);
    }
    m_tensor.name = "benchmark.weight";
    m_tensor.view = {.dtype = dtype, .shape = {rows, columns}, .bytes = Bytes(bytes, count * width)};
}

ModelTensor BenchmarkTensor::firstRows(std::uint64_t rows) const
{
    auto part = m_tensor;
    const auto bytesPerRow = part.view.bytes.size() / part.view.shape[0];
    part.view.shape[0] = rows;
    part.view.bytes = part.view.bytes.first(static_cast<std::size_t>(rows) * bytesPerRow);
    return part;
}

}  // namespace quantloupe
