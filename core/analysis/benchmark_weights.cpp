// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/benchmark_weights.h"

#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace quantloupe {

namespace {

/// Sum of four uniform bytes, centred and scaled: near enough to a bell, and quick.
float drawWeight(std::uint64_t& state)
{
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    const auto sum = static_cast<std::int32_t>(
        (state & 0xFFU) + (state >> 8U & 0xFFU) + (state >> 16U & 0xFFU) + (state >> 24U & 0xFFU));
    // The rest of the state fills the low bits, so that values do not repeat.
    return (static_cast<float>(sum - 510) + static_cast<float>(state >> 40U) * 0x1p-24F) * 1.4e-4F;
}

std::uint16_t toHalf(float weight)
{
    // Normal halves only: what is smaller becomes zero. Speed does not depend on it.
    const auto bits = std::bit_cast<std::uint32_t>(weight);
    const std::uint32_t sign = bits >> 16U & 0x8000U, exponent = bits >> 23U & 0xFFU;
    return static_cast<std::uint16_t>(exponent < 113 ? sign : sign | ((bits >> 13U & 0x3FFFFU) - (112U << 10U)));
}

}  // namespace

BenchmarkTensor::BenchmarkTensor(std::uint64_t rows, std::uint64_t columns, DType dtype)
{
    const auto count = static_cast<std::size_t>(rows * columns);
    const std::size_t width = dtype == DType::F32 ? 4 : 2;
    m_storage.resize((count * width + 3) / 4);
    auto* bytes = reinterpret_cast<std::byte*>(m_storage.data());
    std::uint64_t state = 0x9E3779B97F4A7C15U;
    for (std::size_t i = 0; i < count; ++i) {
        const float weight = drawWeight(state);
        const auto whole = std::bit_cast<std::uint32_t>(weight);
        const auto half = dtype == DType::F16 ? toHalf(weight) : static_cast<std::uint16_t>(whole >> 16U);
        std::memcpy(bytes + i * width, dtype == DType::F32 ? static_cast<const void*>(&whole) : &half, width);
    }
    m_tensor.name = "benchmark.weight";
    m_tensor.view = {.dtype = dtype, .shape = {rows, columns}, .bytes = Bytes(bytes, count * width)};
}

}  // namespace quantloupe
