// SPDX-License-Identifier: GPL-3.0-or-later
// Products of integers by themselves, activations already packed, against OpenBLAS in float32.
#include "core/kernels/integer_product.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>
#include <vector>

using namespace quantloupe;

namespace {

constexpr std::size_t productSize = 4096;

std::vector<float> manyFloats(std::size_t count)
{
    std::vector<float> made(count);
    std::uint32_t state = 1;
    for (float& value : made) {
        state = state * 1664525U + 1013904223U;
        value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-36F;
    }
    return made;
}

void countOperations(benchmark::State& state, std::size_t tokens)
{
    const auto perRun = 2.0 * static_cast<double>(tokens * productSize) * static_cast<double>(productSize);
    state.counters["OP/s"] = benchmark::Counter(perRun, benchmark::Counter::kIsIterationInvariantRate);
}

void floatProduct(benchmark::State& state)
{
    const auto tokens = static_cast<std::size_t>(state.range(0));
    const auto inputs = manyFloats(tokens * productSize), weights = manyFloats(productSize * productSize);
    std::vector<float> result(tokens * productSize);
    for (auto _ : state) {
        kernels::multiplyByTransposed({inputs.data(), tokens, productSize, productSize},
            {weights.data(), productSize, productSize, productSize}, {result.data(), tokens, productSize, productSize});
        benchmark::DoNotOptimize(result.data());
    }
    countOperations(state, tokens);
}

void productOfIntegers(benchmark::State& state, kernels::CodeWidth width, std::size_t groupLength)
{
    const auto tokens = static_cast<std::size_t>(state.range(0));
    const kernels::PanelShape shape {productSize, productSize, groupLength, width};
    const auto tiles = kernels::bestTiles(width);
    const std::vector<std::int8_t> codes(tokens * productSize, 77);
    const std::vector<std::int32_t> tokenZeros(tokens), zeros(shape.parameters(), 8), weightSums(shape.parameters(), 5);
    const std::vector<float> tokenScales(tokens, 0.1F), scales(shape.parameters(), 0.01F);
    const std::vector<std::uint8_t> panels(shape.bytes(), 0x5A);
    std::vector<std::int32_t> activations(kernels::PackedTokens::packedSize(tokens, shape, tiles));
    std::vector<std::int32_t> sums(tokens * shape.groups());
    const auto packed = kernels::packTokens({tokens, codes, tokenZeros, tokenScales}, shape, tiles, activations, sums);
    std::vector<float> result(tokens * productSize);
    for (auto _ : state) {
        kernels::scaledIntegerProduct(packed, {shape, panels, zeros, weightSums, scales}, {0, shape.panels()},
            {result.data(), tokens, productSize, productSize});
        benchmark::DoNotOptimize(result.data());
    }
    countOperations(state, tokens);
}

}  // namespace

BENCHMARK(floatProduct)->Name("product float32")->Arg(512)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(productOfIntegers, bytes, kernels::CodeWidth::Byte, productSize)
    ->Name("product W8A8")
    ->Arg(512)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(productOfIntegers, nibbles, kernels::CodeWidth::Nibble, productSize)
    ->Name("product W4A8")
    ->Arg(512)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(productOfIntegers, groups, kernels::CodeWidth::Nibble, std::size_t {128})
    ->Name("product W4A8 g128")
    ->Arg(512)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond);
