// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/layer_training.h"

#include "core/base/compute_arena.h"
#include "core/algorithms/adam.h"
#include "core/training/epoch_order.h"
#include "core/training/layer_judge.h"
#include "core/training/layer_rows.h"
#include "core/training/layer_starts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

tl::unexpected<Error> layerStopped()
{
    return failure(ErrorCode::Cancelled, "training", "stopped on request");
}

kernels::ConstMatrix tokensOf(const LayerInputs& inputs, std::size_t first, std::size_t count)
{
    return {inputs.sample.data() + (first * inputs.columns), count, inputs.columns, inputs.columns};
}

/// All moments where they cost no more than a batch, or where the sample would leave directions open that they know.
bool goesByMoments(const LayerInputs& inputs, std::size_t batch)
{
    const auto sampled = inputs.sampleTokens();
    if (!knowsMoments(inputs) || sampled == 0)
        return sampled == 0;
    return inputs.columns <= 2 * batch || (sampled < inputs.columns && sampled < inputs.tokens);
}

LayerJudge judgeOf(const LayerToTrain& layer, const LayerInputs& inputs, std::size_t first, std::size_t count)
{
    return count > 0 ? LayerJudge(layer.weights, tokensOf(inputs, first, count)) : LayerJudge(layer.weights, inputs);
}

}  // namespace

class LayerTraining::Work
{
public:
    Work(const LayerToTrain& layer, const LayerTrainingOptions& options, LayerRows rows)
        : m_layer(layer)
        , m_options(options)
        , m_rows(std::move(rows))
        , m_byMoments(goesByMoments(*layer.training, options.batch))
        , m_deciding(judgeOf(layer, *layer.heldOut, 0, decidingTokens(layer)))
        , m_judging(judgeOf(
              layer, *layer.heldOut, decidingTokens(layer), layer.heldOut->sampleTokens() - decidingTokens(layer)))
        , m_training(judgeOf(layer, *layer.training, 0, m_byMoments ? 0 : layer.training->sampleTokens()))
    {
    }

    /// Of a sample the first half; of moments there are no halves.
    static std::size_t decidingTokens(const LayerToTrain& layer) { return (layer.heldOut->sampleTokens() + 1) / 2; }

    Result<void> begin(const Scheme& scheme, const std::stop_token& stop, const ProgressShare& progress);
    Result<LayerTrainingStep> step(const std::stop_token& stop);
    Result<LayerEvaluation> evaluate(const std::stop_token& stop);
    Result<LayerTrainingResult> result(const std::stop_token& stop) const;
    bool isDone() const;
    bool isEvaluationDue() const { return m_options.evaluateEvery != 0 && m_done % m_options.evaluateEvery == 0; }
    bool isEvaluated() const { return !m_history.evaluations.empty() && m_history.evaluations.back().step == m_done; }

    LayerToTrain m_layer;
    LayerTrainingOptions m_options;
    LayerRows m_rows;
    bool m_byMoments;
    LayerJudge m_deciding, m_judging, m_training;
    std::vector<float> m_momentsPerToken {};
    double m_gridStep = 0.0;  ///< √12 · rms(W − Ŵ) of round-to-nearest
    LayerStart m_start = LayerStart::Nearest;
    LayerMethod m_nearest {}, m_begun {};
    std::optional<LayerMethod> m_gptq {};
    std::uint64_t m_done = 0, m_keptStep = 0;
    double m_keptError = 0.0;
    std::shared_ptr<const TrainedLayer> m_kept {};
    LayerTrainingHistory m_history {};

private:
    Result<LayerMethod> measure(std::span<const float> quantized, const std::stop_token& stop) const;
    Result<void> choose(std::span<const LayerRounding> roundings, const std::stop_token& stop);
};

Result<LayerMethod> LayerTraining::Work::measure(std::span<const float> quantized, const std::stop_token& stop) const
{
    const auto training = m_training.judge(quantized, stop);
    const auto heldOut = m_judging.judge(quantized, stop);
    if (!training || !heldOut)
        return layerStopped();
    return LayerMethod {.training = *training, .heldOut = *heldOut};
}

/// Begins as what errs least on the deciding tokens.
Result<void> LayerTraining::Work::choose(std::span<const LayerRounding> roundings, const std::stop_token& stop)
{
    const auto importance = meanSquaresOf(*m_layer.training);
    const auto beginAs = [&](const LayerRounding& rounding) {
        const bool original = rounding.start == LayerStart::Nearest;
        return m_rows.begin(original ? m_layer.weights : std::span<const float>(rounding.quantized),
            original ? std::span<const UnitGrid>() : rounding.grids, importance, stop);
    };
    const LayerRounding* best = nullptr;
    double least = 0.0;
    for (const auto& rounding : roundings) {
        if (m_options.start != LayerStart::Best && m_options.start != rounding.start)
            continue;
        if (!beginAs(rounding))
            return layerStopped();
        const auto quantized = m_rows.quantize(stop);
        const auto error = quantized.empty() ? std::nullopt : m_deciding.judge(quantized, stop);
        if (!error)
            return layerStopped();
        if (best == nullptr || error->squared < least) {
            best = &rounding;
            least = error->squared;
        }
    }
    m_start = best->start;
    if (!beginAs(*best))
        return layerStopped();
    const auto quantized = m_rows.quantize(stop);
    if (quantized.empty())
        return layerStopped();
    const auto measured = measure(quantized, stop);
    if (!measured)
        return tl::unexpected(measured.error());
    m_begun = *measured;
    return {};
}

Result<void> LayerTraining::Work::begin(
    const Scheme& scheme, const std::stop_token& stop, const ProgressShare& progress)
{
    for (auto* judge : {&m_deciding, &m_judging, &m_training})
        if (!judge->measureOutput(stop))
            return layerStopped();
    if (m_byMoments) {
        const auto& moments = m_layer.training->secondMoments;
        m_momentsPerToken.resize(moments.size());
        std::transform(moments.begin(), moments.end(), m_momentsPerToken.begin(),
            [&](double moment) { return static_cast<float>(moment / static_cast<double>(m_layer.training->tokens)); });
    }
    auto roundings = roundLayer(m_layer, scheme, m_options.start, stop, progress);
    if (!roundings)
        return tl::unexpected(roundings.error());
    double squares = 0.0;
    for (const auto& rounding : *roundings) {
        if (rounding.start == LayerStart::Descent)
            continue;
        auto measured = measure(rounding.quantized, stop);
        if (!measured)
            return tl::unexpected(measured.error());
        if (rounding.start == LayerStart::Gptq) {
            m_gptq = *measured;
            continue;
        }
        m_nearest = *measured;
        for (std::size_t i = 0; i < m_layer.weights.size(); ++i) {
            const auto error = static_cast<double>(m_layer.weights[i]) - static_cast<double>(rounding.quantized[i]);
            squares += error * error;
        }
    }
    m_gridStep = std::sqrt(12.0 * squares / static_cast<double>(m_layer.weights.size()));
    return choose(*roundings, stop);
}

Result<LayerTrainingStep> LayerTraining::Work::step(const std::stop_token& stop)
{
    StepInputs inputs {.moments = m_byMoments};
    std::vector<float> batch;
    const auto columns = m_layer.columns;
    if (m_byMoments) {
        inputs.values = {m_momentsPerToken.data(), columns, columns, columns};
    } else {
        const auto count = m_layer.training->sampleTokens();
        const auto size = std::min(m_options.batch, count);
        batch.resize(size * columns);
        const auto tokens = examplesOfStep(count, size, m_done, m_options.seed);
        for (std::size_t i = 0; i < size; ++i)
            std::copy_n(tokensOf(*m_layer.training, tokens[i], 1).data, columns,
                batch.begin() + static_cast<std::ptrdiff_t>(i * columns));
        inputs.values = {batch.data(), size, columns, columns};
    }
    const double rate = scheduledRate(m_options.learningRate * m_gridStep, m_done, m_options.steps, m_options.warmUp);
    const auto loss = m_rows.step(
        m_layer.weights, inputs, {.weights = rate, .grids = rate * m_options.stepRate, .number = m_done + 1}, stop);
    if (!loss)
        return tl::unexpected(loss.error());
    m_history.steps.push_back({.step = m_done, .loss = *loss, .rate = rate});
    ++m_done;
    return m_history.steps.back();
}

Result<LayerEvaluation> LayerTraining::Work::evaluate(const std::stop_token& stop)
{
    const auto quantized = m_rows.quantize(stop);
    const auto error = quantized.empty() ? std::nullopt : m_deciding.judge(quantized, stop);
    if (!error)
        return layerStopped();
    if (!m_kept || error->squared < m_keptError) {
        m_kept = std::make_shared<const TrainedLayer>(m_rows.layer());
        m_keptError = error->squared;
        m_keptStep = m_done;
    }
    m_history.evaluations.push_back({.step = m_done, .deciding = *error});
    return m_history.evaluations.back();
}

bool LayerTraining::Work::isDone() const
{
    if (m_done >= m_options.steps)
        return true;
    const auto& all = m_history.evaluations;
    const auto since = std::count_if(
        all.begin(), all.end(), [&](const LayerEvaluation& evaluation) { return evaluation.step > m_keptStep; });
    return m_options.patience != 0 && static_cast<std::uint64_t>(since) >= m_options.patience;
}

Result<LayerTrainingResult> LayerTraining::Work::result(const std::stop_token& stop) const
{
    if (!m_kept)
        return failure(
            ErrorCode::InvalidArgument, "training", "nothing was evaluated yet, so there is nothing that is kept");
    const auto measured = measure(m_kept->quantized().values, stop);
    if (!measured)
        return tl::unexpected(measured.error());
    return LayerTrainingResult {.nearest = m_nearest,
        .gptq = m_gptq,
        .begun = m_begun,
        .trained = *measured,
        .start = m_start,
        .keptStep = m_keptStep,
        .byMoments = m_byMoments,
        .trainingTokens = m_training.tokens(),
        .decidingTokens = m_deciding.tokens(),
        .judgingTokens = m_judging.tokens(),
        .history = m_history,
        .layer = m_kept};
}

LayerTraining::LayerTraining(std::unique_ptr<Work> work)
    : m_work(std::move(work))
{
}

LayerTraining::~LayerTraining() = default;

Result<std::unique_ptr<LayerTraining>> LayerTraining::begin(const LayerToTrain& layer, const Scheme& scheme,
    const LayerTrainingOptions& options, std::stop_token stop, const ProgressShare& progress)
{
    ComputeArena arena(options.threads);
    if (auto sensible = arena.execute([&] { return requireTrainable(layer, options, stop); }); !sensible)
        return tl::unexpected(sensible.error());
    auto rows = LayerRows::create(scheme, options.rule, layer.rows, layer.columns);
    if (!rows)
        return tl::unexpected(rows.error());
    auto work = std::make_unique<Work>(layer, options, std::move(*rows));
    auto begun = arena.execute([&] { return work->begin(scheme, stop, progress); });
    if (!begun)
        return tl::unexpected(begun.error());
    return std::unique_ptr<LayerTraining>(new LayerTraining(std::move(work)));
}

Result<LayerTrainingStep> LayerTraining::step(std::stop_token stop)
{
    return ComputeArena(m_work->m_options.threads).execute([&] { return m_work->step(stop); });
}

Result<LayerEvaluation> LayerTraining::evaluate(std::stop_token stop)
{
    return ComputeArena(m_work->m_options.threads).execute([&] { return m_work->evaluate(stop); });
}

Result<void> LayerTraining::run(std::stop_token stop, const ProgressShare& progress,
    const std::function<Result<void>(const LayerTrainingStep&)>& afterStep)
{
    const auto evaluateNow = [&]() -> Result<void> {
        if (m_work->isEvaluated())
            return {};
        auto found = evaluate(stop);
        return found ? Result<void>() : tl::unexpected(found.error());
    };
    if (m_work->m_done == 0 || m_work->isEvaluationDue())
        if (auto done = evaluateNow(); !done)
            return done;
    while (!isDone()) {
        const auto made = step(stop);
        if (!made)
            return tl::unexpected(made.error());
        progress.advance(made->step, made->step + 1, m_work->m_options.steps);
        if (m_work->isEvaluationDue())
            if (auto done = evaluateNow(); !done)
                return done;
        if (afterStep)
            if (auto done = afterStep(*made); !done)
                return done;
    }
    progress.advance(m_work->m_done, m_work->m_options.steps, m_work->m_options.steps);
    return evaluateNow();
}

Result<LayerTrainingResult> LayerTraining::result(std::stop_token stop) const
{
    return ComputeArena(m_work->m_options.threads).execute([&] { return m_work->result(stop); });
}

bool LayerTraining::isDone() const
{
    return m_work->isDone();
}

const LayerTrainingOptions& LayerTraining::options() const
{
    return m_work->m_options;
}

const LayerTrainingHistory& LayerTraining::history() const
{
    return m_work->m_history;
}

const LayerMethod& LayerTraining::nearest() const
{
    return m_work->m_nearest;
}

const std::optional<LayerMethod>& LayerTraining::gptq() const
{
    return m_work->m_gptq;
}

const LayerMethod& LayerTraining::begun() const
{
    return m_work->m_begun;
}

LayerStart LayerTraining::start() const
{
    return m_work->m_start;
}

LayerVerdict LayerTrainingResult::verdict() const
{
    if (!gptq)
        return beatsNearest() ? LayerVerdict::BetterThanNearest : LayerVerdict::NotBetterThanNearest;
    if (beatsGptq())
        return beatsNearest() ? LayerVerdict::BetterThanGptq : LayerVerdict::NotBetterThanNearest;
    return trained == *gptq ? LayerVerdict::IsGptq : LayerVerdict::NotBetterThanGptq;
}

Result<LayerTrainingResult> trainLayer(const LayerToTrain& layer, const Scheme& scheme,
    const LayerTrainingOptions& options, std::stop_token stop, const ProgressShare& progress,
    const std::function<Result<void>(const LayerTrainingStep&)>& afterStep)
{
    const auto [before, during] = progress.split(0.1);
    auto training = LayerTraining::begin(layer, scheme, options, stop, before);
    if (!training)
        return tl::unexpected(training.error());
    if (auto done = (*training)->run(stop, during, afterStep); !done)
        return tl::unexpected(done.error());
    return (*training)->result(stop);
}

}  // namespace quantloupe
