// SPDX-License-Identifier: GPL-3.0-or-later
// GPTQ of a 4096 × 4096 layer against what of it cannot be avoided: its factor, and the products that pass errors on.
#include "core/algorithms/calibrated_quantization.h"
#include "core/algorithms/coordinate_descent.h"
#include "core/algorithms/grid_choice.h"
#include "core/kernels/dense_algebra.h"

#include <benchmark/benchmark.h>

#include <cmath>

using namespace quantloupe;

namespace {

constexpr std::size_t size = 4096;

/// Neighbouring channels that go together, and a few loud ones.
const LayerInputs& layerInputs()
{
    static const LayerInputs made = [] {
        LayerInputs inputs {size, size, std::vector<double>(size * size)};
        const auto loudness = [](std::size_t i) { return i % 97 == 0 ? 20.0 : 1.0 + static_cast<double>(i % 7); };
        for (std::size_t i = 0; i < size; ++i)
            for (std::size_t j = 0; j < size; ++j)
                inputs.secondMoments[i * size + j] = loudness(i) * loudness(j)
                    * std::pow(0.9, std::abs(static_cast<double>(i) - static_cast<double>(j)));
        return inputs;
    }();
    return made;
}

const std::vector<float>& layerWeights()
{
    static const std::vector<float> made = [] {
        std::vector<float> weights(size * size);
        std::uint32_t state = 1;
        for (float& weight : weights) {
            state = state * 1664525U + 1013904223U;
            weight = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-36F;
        }
        return weights;
    }();
    return made;
}

const Quantizer& quantizer()
{
    static const Quantizer made = *Quantizer::create(*Scheme::parse("int4:g128:asymf"), size);
    return made;
}

void factorAlone(benchmark::State& state)
{
    for (auto _ : state)
        benchmark::DoNotOptimize(inverseFactor(layerInputs(), {}, {}));
}

/// The products with which GPTQ passes on the errors of each block of columns, and nothing else.
void productsAlone(benchmark::State& state)
{
    const std::vector<float> factor(gptqBlockColumns * size, 1e-3F), errors(gptqBlockColumns * rowsPerBlock, 1e-3F);
    for (auto _ : state)
        forEachRowBlock(size, {}, [&](std::size_t, std::size_t count) {
            std::vector<float> weights(size * count);
            for (std::size_t next = gptqBlockColumns; next < size; next += gptqBlockColumns)
                kernels::addProduct(-1.0F,
                    kernels::Matrix<const float> {factor.data(), gptqBlockColumns, size - next, size},
                    kernels::Side::Transposed,
                    kernels::Matrix<const float> {errors.data(), gptqBlockColumns, count, count}, kernels::Side::Plain,
                    1.0F, {weights.data() + next * count, size - next, count, count});
            benchmark::DoNotOptimize(weights.data());
        });
}

void roundingAlone(benchmark::State& state)
{
    const auto factor = inverseFactor(layerInputs(), {}, {});
    const auto grids = chooseGrids(quantizer(), layerWeights(), size, {});
    for (auto _ : state)
        benchmark::DoNotOptimize(roundByGptq(quantizer(), layerWeights(), size, grids, *factor, {}));
}

void leastSquaresAlone(benchmark::State& state)
{
    const auto importance = meanSquares(layerInputs());
    for (auto _ : state)
        benchmark::DoNotOptimize(leastSquaresGridsOf(quantizer(), layerWeights(), size, importance, {}));
}

void wholeLayer(benchmark::State& state, const char* notation)
{
    const Scheme scheme = *Scheme::parse(notation);
    Progress unseen;
    for (auto _ : state)
        benchmark::DoNotOptimize(quantizeWithInputs(layerWeights(), size, scheme, layerInputs(), {}, {}, {unseen, 0}));
}

BENCHMARK(factorAlone)->Name("gptq 4096 × 4096: factor")->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK(productsAlone)->Name("gptq 4096 × 4096: products")->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK(roundingAlone)->Name("gptq 4096 × 4096: rounding")->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK(leastSquaresAlone)
    ->Name("cd 4096 × 4096: least-squares grids")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(wholeLayer, gptq, "int4:g128:asymf+gptq")
    ->Name("gptq 4096 × 4096")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(wholeLayer, cd, "int4:g128:asymf+cd")
    ->Name("cd 4096 × 4096")
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
