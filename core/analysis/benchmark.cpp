// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/benchmark.h"

#include "core/analysis/analyze.h"
#include "core/analysis/benchmark_weights.h"
#include "core/analysis/measure.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/thread_time.h"
#include "core/kernels/memory_read.h"
#include "core/kernels/shrink_search.h"
#include "core/statistics/median.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

namespace quantloupe {

namespace {

double wallSeconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One thing to time, with its times so far.
struct Timed {
    std::string name;
    std::function<Result<void>()> run;
    double part = 1.0;  ///< of the weights
    std::vector<double> processor {}, wall {};
};

Result<void> timeOnce(Timed& timed)
{
    const double processor = threadSeconds(), wall = wallSeconds();
    if (auto done = timed.run(); !done)
        return done;
    timed.processor.push_back(threadSeconds() - processor);
    timed.wall.push_back(wallSeconds() - wall);
    return {};
}

Result<void> decodeAll(const ModelTensor& tensor, std::vector<float>& buffer)
{
    const RowTiling tiling(matrixShape(tensor.view));
    for (std::uint64_t row = 0; row < tiling.shape.rows; row += tiling.rowsPerTile) {
        const auto count = std::min(tiling.rowsPerTile, tiling.shape.rows - row);
        buffer.resize(static_cast<std::size_t>(count * tiling.shape.columns));
        decodeRows(tensor.view, row, count, buffer);
    }
    return {};
}

constexpr std::uint64_t searchedPart = 8;

/// The tensors and arenas that every operation works on.
struct Bench {
    BenchmarkTensor whole, brain, half;
    WeightStatistics weights {};
    tbb::task_arena one {1}, two {2};
    std::vector<float> buffer {};
    std::stop_token stop;
    std::uint64_t checksum = 0;

    Bench(const BenchmarkOptions& options, std::stop_token token)
        : whole(options.rows, options.columns, DType::F32)
        , brain(options.rows, options.columns, DType::BF16)
        , half(options.rows, options.columns, DType::F16)
        , stop(std::move(token))
    {
    }

    Result<void> measure(std::span<const PreparedScheme> schemes, tbb::task_arena& arena, std::size_t bins)
    {
        Progress unseen;
        const auto& tensor = whole.tensor();
        auto measured =
            arena.execute([&] { return measureErrors(tensor, schemes, bins, stop, ProgressShare(unseen, 0)); });
        if (!measured)
            return tl::unexpected(measured.error());
        checksum += measured->front().error.count;
        return {};
    }
};

std::vector<Timed> operationsOf(Bench& bench)
{
    std::vector<Timed> operations;
    operations.push_back({.name = "memory read", .run = [&bench]() -> Result<void> {
                              bench.checksum += kernels::readMemory(bench.whole.tensor().view.bytes);
                              return {};
                          }});
    operations.push_back({.name = "memory read, four streams", .run = [&bench]() -> Result<void> {
                              bench.checksum += kernels::readMemoryInStreams(bench.whole.tensor().view.bytes);
                              return {};
                          }});
    for (const auto* tensor : {&bench.whole, &bench.brain, &bench.half})
        operations.push_back({.name = "decode " + std::string(nameOf(tensor->tensor().view.dtype)),
            .run = [&bench, tensor] { return decodeAll(tensor->tensor(), bench.buffer); }});
    operations.push_back({.name = "weight statistics", .run = [&bench]() -> Result<void> {
                              Progress unseen;
                              auto weights = bench.one.execute(
                                  [&] { return measureWeights(bench.whole.tensor(), bench.stop, unseen); });
                              if (!weights)
                                  return tl::unexpected(weights.error());
                              bench.checksum += weights->zeros;
                              return {};
                          }});
    return operations;
}

/// Uniform integers that one pass measures together.
std::vector<Scheme> eightSchemes()
{
    std::vector<Scheme> schemes;
    for (const auto* text :
        {"int4:g128", "int4:g32", "int8", "int3:g64", "int4:g128:asym", "int4:g128:symf", "int4:g128:asymf", "int6"})
        schemes.push_back(Scheme::parse(text).value());
    return schemes;
}

/// GPTQ's clipping search for four bits in groups of 128.
Result<void> searchRanges(Bench& bench)
{
    const auto& view = bench.whole.tensor().view;
    const RowTiling tiling(matrixShape(view));
    const auto columns = static_cast<std::size_t>(tiling.shape.columns);
    const kernels::UnitShape shape {columns, 128, false};
    std::vector<float> shrinks;
    for (int i = 0; i < 80; ++i)
        shrinks.push_back(static_cast<float>(1.0 - i / 100.0));
    // A search takes a hundred times as long as a pass: an eighth of the rows will do.
    const auto rows = std::max<std::uint64_t>(1, tiling.shape.rows / searchedPart);
    std::vector<UnitGrid> grids(static_cast<std::size_t>(rows) * shape.unitsPerRow());
    kernels::integerShrinkSearch(rowsOf(view, 0, rows, bench.buffer), shape, kernels::IntegerRule::Symmetric,
        {.lowest = 1.0F, .highest = 15.0F}, shrinks, grids);
    bench.checksum += grids.front().scale > 0.0F ? 1U : 0U;
    return {};
}

}  // namespace

std::vector<Scheme> defaultBenchmarkSchemes()
{
    std::vector<Scheme> schemes;
    for (const auto* text :
        {"int4:g128", "int8", "int4:g32:asym", "int8:tensor", "fp8_e4m3", "nf4", "ternary", "fp16", "bf16"})
        if (auto scheme = Scheme::parse(text); scheme && requireBuilt(*scheme))
            schemes.push_back(*scheme);
    return schemes;
}

Result<BenchmarkResult> runBenchmark(const BenchmarkOptions& options, std::stop_token stop)
{
    if (options.rows == 0 || options.columns == 0 || options.rounds == 0)
        return failure(ErrorCode::InvalidArgument, "bench", "needs at least one weight and one round");
    const auto schemes = options.schemes.empty() ? defaultBenchmarkSchemes() : options.schemes;
    Bench bench(options, stop);
    Progress unseen;
    auto weights = measureWeights(bench.whole.tensor(), stop, unseen);
    if (!weights)
        return tl::unexpected(weights.error());
    ProgressShare share(unseen, 0);
    const auto prepared = prepareSchemes(bench.whole.tensor(), *weights, schemes, nullptr, stop, share);
    if (!prepared)
        return tl::unexpected(prepared.error());

    const auto eight = prepareSchemes(bench.whole.tensor(), *weights, eightSchemes(), nullptr, stop, share);
    if (!eight)
        return tl::unexpected(eight.error());

    auto operations = operationsOf(bench);
    constexpr std::size_t bins = 256, variants = 3;
    operations.push_back({.name = "eight schemes, no histograms",
        .run = [&bench, &eight] { return bench.measure(*eight, bench.one, 0); }});
    operations.push_back(
        {.name = "eight schemes", .run = [&bench, &eight] { return bench.measure(*eight, bench.one, bins); }});
    operations.push_back({.name = "mse range search",
        .run = [&bench] { return searchRanges(bench); },
        .part = 1.0 / static_cast<double>(std::min(searchedPart, options.rows))});
    std::vector<Timed> passes;  // per scheme: full, without histogram, full on two threads
    for (const auto& scheme : *prepared) {
        passes.push_back({.name = "full", .run = [&bench, &scheme] {
                              return bench.measure({&scheme, 1}, bench.one, bins);
                          }});
        passes.push_back({.name = "plain", .run = [&bench, &scheme] {
                              return bench.measure({&scheme, 1}, bench.one, 0);
                          }});
        passes.push_back({.name = "two", .run = [&bench, &scheme] {
                              return bench.measure({&scheme, 1}, bench.two, bins);
                          }});
    }
    // Round by round, so that a slow spell of the machine meets all alike.
    for (unsigned round = 0; round < options.rounds; ++round)
        for (auto* group : {&operations, &passes})
            for (auto& timed : *group) {
                if (stop.stop_requested())
                    return cancelled(bench.whole.tensor());
                if (auto done = timeOnce(timed); !done)
                    return tl::unexpected(done.error());
            }

    const auto elements = options.rows * options.columns;
    const auto rate = [&](const Timed& timed) {
        return 4e-9 * timed.part * static_cast<double>(elements) / median(timed.processor);
    };
    BenchmarkResult result {.weights = elements, .rounds = options.rounds, .operations = {}, .schemes = {}};
    const double read = rate(operations.front());
    for (const auto& timed : operations)
        result.operations.push_back({timed.name, rate(timed), rate(timed) / read});
    for (std::size_t i = 0; i < schemes.size(); ++i) {
        const auto* pass = &passes[i * variants];
        result.schemes.push_back({.scheme = schemes[i].toString(),
            .full = rate(pass[0]),
            .withoutHistogram = rate(pass[1]),
            .fullOfMemoryRead = rate(pass[0]) / read,
            .withoutHistogramOfMemoryRead = rate(pass[1]) / read,
            .speedUpOfTwoThreads = median(pass[0].wall) / median(pass[2].wall)});
    }
    return result;
}

}  // namespace quantloupe
