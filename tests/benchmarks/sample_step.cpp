// SPDX-License-Identifier: GPL-3.0-or-later
// A step of end-to-end training of a model of the sample's size against the products of one pass forward and back
// alone: each layer's outputs, the gradient by its inputs and that by its weights, by OpenBLAS on as many threads. By
// the time of the clock, which counts threads that wait.
#include "core/sample/untrained_model.h"
#include "core/training/pretrain.h"
#include "core/training/train.h"

#include <benchmark/benchmark.h>
#include <cblas.h>

#include <array>
#include <vector>

using namespace quantloupe;

namespace {

constexpr std::size_t stepWindows = 8, stepTokens = 256, longTextWindows = 4'096;
constexpr unsigned threadsOfStep = 2;

const Model& modelOfSample()
{
    static const auto made = UntrainedModel::create({}, 0);
    return made->model();
}

WindowedText textOfStep(std::size_t windows)
{
    std::vector<std::uint32_t> tokens(windows * stepTokens);
    std::uint32_t state = 1;
    for (auto& token : tokens) {
        state = state * 1664525U + 1013904223U;
        token = (state >> 8U) % static_cast<std::uint32_t>(LlamaFigures {}.vocabulary);
    }
    auto text = *cutWindows(std::move(tokens), 1U, stepTokens, std::nullopt);
    for (auto& window : text.windows)
        window.firstScored = 0;
    return text;
}

/// Of a training, or the error with which it did not begin.
template<class Begun>
void takeSteps(benchmark::State& state, const Begun& training)
{
    if (!training)
        return state.SkipWithError(training.error().reason.c_str());
    for (auto _ : state) {
        const auto made = (*training)->step({});
        if (!made)
            return state.SkipWithError(made.error().reason.c_str());
        benchmark::DoNotOptimize(made->loss);
    }
}

enum class Loss : std::uint8_t { OfTeacher, OfTaught, OfText };

/// OfTeacher: the text is long enough for the teacher to be asked anew in each step; OfTaught: it has been.
void stepOfSample(benchmark::State& state, const char* notation, StepRule rule, Loss loss)
{
    const auto& model = modelOfSample();
    const auto decoder = describeDecoder(model);
    const auto text = textOfStep(loss == Loss::OfTeacher ? longTextWindows : stepWindows);
    Plan plan;
    for (const auto& block : decoder->blocks)
        for (const auto tensor : matricesOf(block))
            plan.tensors.push_back({.tensor = tensor, .scheme = *Scheme::parse(notation)});
    auto training = Training::begin(*decoder, plan, text, text,
        {.batch = stepWindows, .distils = loss != Loss::OfText, .rule = rule, .threads = threadsOfStep}, {});
    takeSteps(state, training);
}

void stepFromNothing(benchmark::State& state)
{
    const auto text = textOfStep(stepWindows);
    auto training =
        Pretraining::begin(modelOfSample(), text, text, {.batch = text.windows.size(), .threads = threadsOfStep}, {});
    takeSteps(state, training);
}

/// Of y = x·Wᵀ for all tokens of a step: y, ∂x = ∂y·W and ∂W = ∂yᵀ·x.
class LayerProducts
{
public:
    LayerProducts(std::size_t inputs, std::size_t outputs)
        : m_inputs(static_cast<int>(inputs))
        , m_outputs(static_cast<int>(outputs))
        , m_x(kTokens * inputs, 0.5F)
        , m_weights(inputs * outputs, 0.25F)
        , m_y(kTokens * outputs)
        , m_xGradient(m_x.size())
        , m_weightGradient(m_weights.size())
    {
    }

    void run()
    {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kTokens, m_outputs, m_inputs, 1.0F, m_x.data(), m_inputs,
            m_weights.data(), m_inputs, 0.0F, m_y.data(), m_outputs);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kTokens, m_inputs, m_outputs, 1.0F, m_y.data(),
            m_outputs, m_weights.data(), m_inputs, 0.0F, m_xGradient.data(), m_inputs);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m_outputs, m_inputs, kTokens, 1.0F, m_y.data(), m_outputs,
            m_x.data(), m_inputs, 0.0F, m_weightGradient.data(), m_inputs);
    }
    double operations() const { return 6.0 * kTokens * m_inputs * m_outputs; }

private:
    static constexpr int kTokens = stepWindows * stepTokens;
    int m_inputs, m_outputs;
    std::vector<float> m_x, m_weights, m_y, m_xGradient, m_weightGradient;
};

void productsOfSample(benchmark::State& state)
{
    const LlamaFigures figures;
    const auto head = figures.hidden / figures.heads;
    std::array block {LayerProducts(figures.hidden, figures.hidden + 2 * head * figures.keyValueHeads),
        LayerProducts(figures.hidden, figures.hidden), LayerProducts(figures.hidden, 2 * figures.inner),
        LayerProducts(figures.inner, figures.hidden)};
    LayerProducts vocabulary(figures.hidden, figures.vocabulary);
    double operations = vocabulary.operations();
    for (const auto& layer : block)
        operations += static_cast<double>(figures.blocks) * layer.operations();
    openblas_set_num_threads(static_cast<int>(threadsOfStep));
    for (auto _ : state) {
        for (std::size_t i = 0; i < figures.blocks; ++i)
            for (auto& layer : block)
                layer.run();
        vocabulary.run();
    }
    openblas_set_num_threads(1);
    state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate);
}

void byTheClock(benchmark::internal::Benchmark* benchmark)
{
    benchmark->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
}

}  // namespace

BENCHMARK(productsOfSample)->Name("sample's step: its products alone")->Apply(byTheClock);
BENCHMARK_CAPTURE(stepOfSample, ste, "int4:g32", StepRule::Estimated, Loss::OfTeacher)
    ->Name("sample's step: ste, distilled")
    ->Apply(byTheClock);
BENCHMARK_CAPTURE(stepOfSample, later, "int4:g32", StepRule::Estimated, Loss::OfTaught)
    ->Name("sample's step: ste, distilled, later epochs")
    ->Apply(byTheClock);
BENCHMARK_CAPTURE(stepOfSample, lsq, "int4:g32", StepRule::Scale, Loss::OfTeacher)
    ->Name("sample's step: lsq, distilled")
    ->Apply(byTheClock);
BENCHMARK_CAPTURE(stepOfSample, ce, "int4:g32", StepRule::Estimated, Loss::OfText)
    ->Name("sample's step: ste, cross-entropy")
    ->Apply(byTheClock);
BENCHMARK(stepFromNothing)->Name("sample's step: from random weights")->Apply(byTheClock);
