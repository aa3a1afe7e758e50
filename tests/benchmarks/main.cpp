// SPDX-License-Identifier: GPL-3.0-or-later
// quantloupe-bench: each step of an analysis by itself, in bytes of FP32 weights per second of processor time.
// Run it with --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true and compare ratios to "memory
// read".
#include "core/analysis/benchmark.h"
#include "core/analysis/benchmark_weights.h"
#include "core/analysis/inspect.h"
#include "core/analysis/measure.h"
#include "core/kernels/ggml_blocks.h"
#include "core/kernels/memory_read.h"
#include "core/statistics/error_accumulator.h"
#include "core/statistics/histogram_filler.h"
#include "core/tensor/ggml_block_types.h"

#include <benchmark/benchmark.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace quantloupe;

namespace {

constexpr std::uint64_t rows = 4096, columns = 4096;
constexpr std::size_t rowsInCache = 16;

/// Drawn on first use: listing the benchmarks takes no time.
const ModelTensor& tensorOf(DType dtype)
{
    static const BenchmarkTensor whole(rows, columns, DType::F32), brain(rows, columns, DType::BF16),
        half(rows, columns, DType::F16);
    return dtype == DType::F32 ? whole.tensor() : dtype == DType::BF16 ? brain.tensor() : half.tensor();
}

/// All rows in one of ggml's block types; the first few are encoded, the others are copies.
const ModelTensor& blockTensorOf(DType dtype)
{
    static std::map<DType, std::pair<std::vector<std::byte>, ModelTensor>> made;
    auto& [bytes, tensor] = made[dtype];
    if (!bytes.empty())
        return tensor;
    std::vector<float> weights(rowsInCache * columns);
    decodeRows(tensorOf(DType::F32).view, 0, rowsInCache, weights);
    const auto piece = *byteCount(weights.size(), dtype);
    bytes.resize(piece * rows / rowsInCache);
    kernels::ggmlEncode(ggmlBlockOf(dtype), weights, columns, {}, std::span(bytes).first(piece));
    for (auto at = piece; at < bytes.size(); at += piece)
        std::copy_n(bytes.begin(), piece, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    tensor.view = {.dtype = dtype, .shape = {rows, columns}, .bytes = bytes};
    return tensor;
}

void countBytes(benchmark::State& state, std::uint64_t weights)
{
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(4 * weights));
}

void readAll(benchmark::State& state)
{
    const auto bytes = tensorOf(DType::F32).view.bytes;
    for (auto _ : state)
        benchmark::DoNotOptimize(kernels::readMemory(bytes));
    countBytes(state, rows * columns);
}

void decodeAll(benchmark::State& state, DType dtype)
{
    const auto& tensor = isBlockType(dtype) ? blockTensorOf(dtype) : tensorOf(dtype);
    std::vector<float> tile(rowsInCache * columns);
    for (auto _ : state)
        for (std::uint64_t row = 0; row < rows; row += rowsInCache) {
            decodeRows(tensor.view, row, rowsInCache, tile);
            benchmark::DoNotOptimize(tile.data());
        }
    countBytes(state, rows * columns);
}

/// Rows that stay in the cache, ready for one scheme.
struct CachedRows {
    std::vector<float> weights = std::vector<float>(rowsInCache * columns);
    PreparedScheme scheme;
    QuantizerScratch scratch {};

    explicit CachedRows(PreparedScheme prepared)
        : scheme(std::move(prepared))
    {
        decodeRows(tensorOf(DType::F32).view, 0, rowsInCache, weights);
        scheme.quantize(0, weights, rowsInCache, scratch);
    }
};

void fitRows(benchmark::State& state, const PreparedScheme& scheme)
{
    CachedRows cached(scheme);
    for (auto _ : state)
        cached.scheme.quantizer.fit(cached.weights, rowsInCache, cached.scratch.grids);
    countBytes(state, cached.weights.size());
}

void fakeQuantizeRows(benchmark::State& state, const PreparedScheme& scheme)
{
    CachedRows cached(scheme);
    for (auto _ : state)
        benchmark::DoNotOptimize(cached.scheme.quantizer.fakeQuantize(
            cached.weights, rowsInCache, cached.scratch.grids, cached.scratch.quantized));
    countBytes(state, cached.weights.size());
}

void sumErrors(benchmark::State& state, const PreparedScheme& scheme)
{
    CachedRows cached(scheme);
    std::vector<float> rowEnergies(rowsInCache);
    ErrorAccumulator accumulator(columns, scheme.errorRange, 0);
    for (auto _ : state) {
        accumulator.add(cached.weights, cached.scratch.quantized, rowEnergies);
        benchmark::DoNotOptimize(rowEnergies.data());
    }
    countBytes(state, cached.weights.size());
}

void fillHistogram(benchmark::State& state, const PreparedScheme& scheme)
{
    CachedRows cached(scheme);
    std::vector<float> errors(cached.weights.size());
    for (std::size_t i = 0; i < errors.size(); ++i)
        errors[i] = cached.weights[i] - cached.scratch.quantized[i];
    HistogramFiller filler(
        {.low = -scheme.errorRange, .high = scheme.errorRange, .counts = std::vector<std::uint64_t>(256)});
    for (auto _ : state)
        filler.add(errors);
    benchmark::DoNotOptimize(filler.histogram().total());
    countBytes(state, cached.weights.size());
}

void measureAll(benchmark::State& state, const PreparedScheme& scheme, std::size_t bins)
{
    const auto& tensor = tensorOf(DType::F32);
    tbb::task_arena one(1);
    Progress unseen;
    for (auto _ : state) {
        auto measured = one.execute([&] {
            return measureErrors(tensor, {&scheme, 1}, bins, {}, ProgressShare(unseen, 0));
        });
        benchmark::DoNotOptimize(measured);
    }
    countBytes(state, rows * columns);
}

void measureWeightsAlone(benchmark::State& state)
{
    tbb::task_arena one(1);
    Progress unseen;
    for (auto _ : state) {
        auto weights = one.execute([&] { return measureWeights(tensorOf(DType::F32), {}, unseen); });
        benchmark::DoNotOptimize(weights);
    }
    countBytes(state, rows * columns);
}

/// What the Layer page waits for after a change of scheme: on all cores, and by the clock on the wall.
void inspectAll(benchmark::State& state, const PreparedScheme& scheme)
{
    Progress unseen;
    const auto& tensor = tensorOf(DType::BF16);
    const auto weights = measureWeights(tensor, {}, unseen);
    for (auto _ : state) {
        auto inspection = inspectLayer(tensor, *weights, scheme.quantizer.scheme(), {}, unseen);
        benchmark::DoNotOptimize(inspection);
    }
    countBytes(state, rows * columns);
}

/// All that the Layer page shows anew for a scheme: its figures and plots, then the map of its errors.
void fillLayerPage(benchmark::State& state, const char* notation)
{
    Progress unseen;
    const auto& tensor = tensorOf(DType::BF16);
    const auto weights = measureWeights(tensor, {}, unseen);
    const auto scheme = Scheme::parse(notation);
    const WeightMap whole {.quantity = MapQuantity::Error, .rows = rows, .columns = columns, .cells = {}};
    for (auto _ : state) {
        auto inspection = inspectLayer(tensor, *weights, *scheme, {}, unseen);
        benchmark::DoNotOptimize(inspection);
        auto map = poolWeights(tensor, *weights, *scheme, whole.quantity, whole, 512, 512, {});
        benchmark::DoNotOptimize(map);
    }
    countBytes(state, rows * columns);
}

void registerAll(const std::vector<PreparedScheme>& schemes)
{
    benchmark::RegisterBenchmark("memory read", readAll);
    for (const auto dtype : {DType::F32, DType::BF16, DType::F16, DType::Q4_0, DType::Q8_0, DType::Q2_K, DType::Q3_K,
             DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::IQ4_XS})
        benchmark::RegisterBenchmark(("decode " + std::string(nameOf(dtype))).c_str(),
            [dtype](benchmark::State& state) { decodeAll(state, dtype); });
    benchmark::RegisterBenchmark("weight statistics", measureWeightsAlone);
    for (const auto* notation :
        {"int4", "int8", "int4:g32:asym", "q4_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"})
        benchmark::RegisterBenchmark((std::string(notation) + " Layer page, all cores").c_str(),
            [notation](benchmark::State& state) { fillLayerPage(state, notation); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
    for (const auto& scheme : schemes) {
        const auto add = [&](const char* step, const auto& run) {
            benchmark::RegisterBenchmark((scheme.quantizer.scheme().toString() + " " + step).c_str(),
                [&scheme, run](benchmark::State& state) { run(state, scheme); });
        };
        if (!scheme.quantizer.wholeTensor())
            add("fit", fitRows);
        add("fake-quantize", fakeQuantizeRows);
        add("error sums", sumErrors);
        add("error histogram", fillHistogram);
        add("all", [](benchmark::State& state, const PreparedScheme& each) { measureAll(state, each, 256); });
        add("all but the histogram",
            [](benchmark::State& state, const PreparedScheme& each) { measureAll(state, each, 0); });
        benchmark::RegisterBenchmark((scheme.quantizer.scheme().toString() + " inspection, all cores").c_str(),
            [&scheme](benchmark::State& state) { inspectAll(state, scheme); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
    }
}

}  // namespace

int main(int argc, char** argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    Progress unseen;
    ProgressShare share(unseen, 0);
    const auto& tensor = tensorOf(DType::F32);
    const auto weights = measureWeights(tensor, {}, unseen);
    const auto schemes = weights ? prepareSchemes(tensor, *weights, defaultBenchmarkSchemes(), nullptr, {}, share)
                                 : tl::unexpected(weights.error());
    if (!schemes)
        return 1;
    registerAll(*schemes);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
