// SPDX-License-Identifier: GPL-3.0-or-later
// A step of layer-wise training against the two products of it that cannot be avoided, on two threads: by the time of
// the processors, which a busy machine leaves. So many steps per second are possible as that time goes into two
// seconds.
#include "core/algorithms/row_blocks.h"
#include "core/base/compute_arena.h"
#include "core/kernels/adam_update.h"
#include "core/training/layer_rows.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

using namespace quantloupe;

namespace {

constexpr std::size_t layerSize = 4096, batchTokens = 256;
constexpr unsigned stepThreads = 2;

std::vector<float> someFloats(std::size_t count, float scale)
{
    std::vector<float> made(count);
    std::uint32_t state = 1;
    for (float& value : made) {
        state = state * 1664525U + 1013904223U;
        value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F * scale;
    }
    return made;
}

void layerStep(benchmark::State& state, const char* notation, StepRule rule)
{
    const auto weights = someFloats(layerSize * layerSize, 0.05F), inputs = someFloats(batchTokens * layerSize, 2.0F);
    auto rows = LayerRows::create(*Scheme::parse(notation), rule, layerSize, layerSize);
    ComputeArena arena(stepThreads);
    if (!rows || !arena.execute([&] { return rows->begin(weights, {}, std::vector<float>(layerSize, 1.0F), {}); }))
        return state.SkipWithError("the layer cannot be trained");
    std::uint64_t number = 0;
    for (auto _ : state) {
        const auto loss = arena.execute([&] {
            return rows->step(weights, {{inputs.data(), batchTokens, layerSize, layerSize}, false},
                {.weights = 1e-6, .grids = 1e-7, .number = ++number}, {});
        });
        benchmark::DoNotOptimize(loss);
    }
}

/// Errors to outputs, and back.
void productsOfStep(benchmark::State& state)
{
    const auto errors = someFloats(layerSize * layerSize, 0.01F), inputs = someFloats(batchTokens * layerSize, 2.0F);
    ComputeArena arena(stepThreads);
    for (auto _ : state)
        arena.execute([&] {
            forEachRowBlock(layerSize, {}, [&](std::size_t first, std::size_t count) {
                std::vector<float> outputs(count * batchTokens), gradient(count * layerSize);
                const kernels::ConstMatrix tokens {inputs.data(), batchTokens, layerSize, layerSize};
                kernels::multiplyByTransposed({errors.data() + (first * layerSize), count, layerSize, layerSize},
                    tokens, {outputs.data(), count, batchTokens, batchTokens});
                kernels::multiply({outputs.data(), count, batchTokens, batchTokens}, tokens,
                    {gradient.data(), count, layerSize, layerSize});
                benchmark::DoNotOptimize(gradient.data());
            });
        });
}

void adamOfStep(benchmark::State& state)
{
    auto weights = someFloats(layerSize * layerSize, 0.05F);
    const auto gradient = someFloats(weights.size(), 1.0F);
    std::vector<float> first(weights.size()), second(weights.size());
    ComputeArena arena(stepThreads);
    for (auto _ : state)
        arena.execute([&] {
            forEachRowBlock(layerSize, {}, [&](std::size_t row, std::size_t count) {
                const auto part = [&](auto& values) {
                    return std::span(values).subspan(row * layerSize, count * layerSize);
                };
                kernels::adamUpdate(part(weights), part(gradient), part(first), part(second), {.rate = 1e-6});
            });
        });
}

BENCHMARK_CAPTURE(layerStep, ste, "int4:g128", StepRule::Estimated)
    ->Name("layer-wise step 4096 × 4096, 256 tokens, ste")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(layerStep, aff, "int3:g128:asymf", StepRule::Affine)
    ->Name("layer-wise step 4096 × 4096, 256 tokens, aff")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(productsOfStep)
    ->Name("layer-wise step: its products alone")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(adamOfStep)->Name("layer-wise step: Adam alone")->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
