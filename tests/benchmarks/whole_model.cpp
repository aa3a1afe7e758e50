// SPDX-License-Identifier: GPL-3.0-or-later
// A whole evaluation of a model of a billion weights in BF16 against OpenBLAS alone, on as many threads: what of the
// time is products. The shapes are TinyLlama's; all tensors show the same few random weights.
#include "core/analysis/benchmark_weights.h"
#include "core/base/compute_arena.h"
#include "core/inference/evaluate.h"

#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

using namespace quantloupe;

namespace {

constexpr std::uint64_t kHidden = 2'048, kInner = 5'632, kKeys = 256, kVocabulary = 32'000, kBlocks = 22;
constexpr std::size_t kWindows = 4, kContext = 512;

const Model& billionWeights()
{
    static const BenchmarkTensor weights(kVocabulary, kHidden, DType::BF16, WeightShape::Gaussian);
    static const Model made = [] {
        Model model;
        model.config.architecture = "llama";
        model.config.hiddenSize = kHidden;
        model.config.layers = kBlocks;
        model.config.heads = 32;
        model.config.keyValueHeads = 4;
        model.config.headDimension = 64;
        model.config.intermediateSize = kInner;
        model.config.vocabulary = kVocabulary;
        const auto add = [&](const std::string& name, Shape shape) {
            ModelTensor tensor = weights.tensor();
            tensor.name = name;
            tensor.parts = readName(name);
            tensor.view.bytes = tensor.view.bytes.first(static_cast<std::size_t>(2 * *elementCount(shape)));
            tensor.view.shape = std::move(shape);
            model.tensors.push_back(std::move(tensor));
        };
        add("model.embed_tokens.weight", {kVocabulary, kHidden});
        for (std::uint64_t block = 0; block < kBlocks; ++block) {
            const auto at = "model.layers." + std::to_string(block) + ".";
            add(at + "input_layernorm.weight", {kHidden});
            add(at + "self_attn.q_proj.weight", {kHidden, kHidden});
            add(at + "self_attn.k_proj.weight", {kKeys, kHidden});
            add(at + "self_attn.v_proj.weight", {kKeys, kHidden});
            add(at + "self_attn.o_proj.weight", {kHidden, kHidden});
            add(at + "post_attention_layernorm.weight", {kHidden});
            add(at + "mlp.gate_proj.weight", {kInner, kHidden});
            add(at + "mlp.up_proj.weight", {kInner, kHidden});
            add(at + "mlp.down_proj.weight", {kHidden, kInner});
        }
        add("model.norm.weight", {kHidden});
        add("lm_head.weight", {kVocabulary, kHidden});
        return model;
    }();
    return made;
}

WindowedText someText()
{
    std::vector<std::uint32_t> tokens(kWindows * kContext);
    std::uint32_t state = 1;
    for (auto& token : tokens) {
        state = state * 1664525U + 1013904223U;
        token = (state >> 8U) % kVocabulary;
    }
    return *cutWindows(std::move(tokens), 1U, kContext, std::nullopt);
}

/// Multiplications and additions of the layers and the output head, attention's products apart.
double operationsOf(const WindowedText& text)
{
    const double block = 2.0 * kHidden * kHidden + 2.0 * kHidden * kKeys + 3.0 * kHidden * kInner;
    const double layers = block * kBlocks * static_cast<double>(text.tokens.size());
    return 2.0 * (layers + static_cast<double>(kVocabulary * kHidden) * static_cast<double>(text.scored()));
}

void countRate(benchmark::State& state, double operations)
{
    state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate);
}

/// One product by OpenBLAS with threads of its own.
void blasAlone(benchmark::State& state)
{
    constexpr std::size_t size = 2'048;
    const std::vector<float> a(size * size, 0.5F), b(size * size, 0.25F);
    std::vector<float> c(size * size);
    openblas_set_num_threads(static_cast<int>(state.range(0)));
    for (auto _ : state) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, size, size, size, 1.0F, a.data(), size, b.data(), size,
            0.0F, c.data(), size);
        benchmark::DoNotOptimize(c.data());
    }
    openblas_set_num_threads(1);
    countRate(state, 2.0 * size * size * size);
}

void evaluateAll(benchmark::State& state)
{
    const auto decoder = describeDecoder(billionWeights());
    if (!decoder)
        return state.SkipWithError(decoder.error().reason.c_str());
    const auto text = someText();
    for (auto _ : state) {
        Progress progress;
        const auto result =
            evaluate(*decoder, text, {}, {.threads = static_cast<unsigned>(state.range(0))}, {}, progress);
        if (!result)
            return state.SkipWithError(result.error().reason.c_str());
        benchmark::DoNotOptimize(result->base.value);
    }
    countRate(state, operationsOf(text));
}

}  // namespace

// By time of the clock, which counts threads that wait, and by that of the processors, which a busy machine leaves.
BENCHMARK(blasAlone)->Name("sgemm 2048, by the clock")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(evaluateAll)
    ->Name("evaluate 1.1 B weights, by the clock")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(blasAlone)
    ->Name("sgemm 2048, processor time")
    ->Arg(1)
    ->Arg(2)
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(evaluateAll)
    ->Name("evaluate 1.1 B weights, processor time")
    ->Arg(1)
    ->Arg(2)
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
