// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/train.h"

#include "core/base/compute_arena.h"
#include "core/inference/pieces.h"
#include "core/inference/scoring.h"
#include "core/training/batches.h"
#include "core/training/epoch_order.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

/// Windows of the held-out text that go together, more where a call has more.
constexpr std::size_t kEvaluatedTogether = 16;

Result<void> requireSensible(const WindowedText& text, const WindowedText& heldOut, const TrainingOptions& options)
{
    if (auto usable = requirePredictions(text, heldOut); !usable)
        return usable;
    const auto refuse = [](const char* why) { return failure(ErrorCode::InvalidArgument, "training", why); };
    if (options.steps == 0 || options.batch == 0 || options.accumulate == 0 || options.accumulate > options.batch)
        return refuse("steps and batch must be above 0, and a batch has windows for each of its passes");
    if (!(options.learningRate > 0.0) || !(options.stepRate >= 0.0) || !(options.weightDecay >= 0.0)
        || !(options.clipNorm >= 0.0))
        return refuse("learning rates must be above 0, weight decay and clipping not below");
    return {};
}

/// What is written of a tensor that is not trained would be none of what was evaluated.
Result<void> requireTrained(const Decoder& teacher, const Plan& plan)
{
    const auto others = Student::untrained(teacher, plan);
    if (others.empty())
        return {};
    constexpr std::size_t kNamed = 5;
    std::string names;
    for (std::size_t i = 0; i < std::min(kNamed, others.size()); ++i)
        names += (i == 0 ? "" : ", ") + teacher.model->tensors[others[i]].name;
    if (others.size() > kNamed)
        names += " and " + std::to_string(others.size() - kNamed) + " more";
    return failure(
        ErrorCode::InvalidArgument, names, "matrices of blocks alone are trained: keep the others as stored");
}

bool replacesInputs(const Plan& plan)
{
    return std::any_of(plan.tensors.begin(), plan.tensors.end(),
        [](const PlannedTensor& planned) { return planned.activations.has_value(); });
}

/// A student that is trained on other inputs than the plan says would not be what is written.
Result<void> requireInputs(const Decoder& teacher, const Plan& plan, const InputHook& inputs)
{
    for (const auto& planned : plan.tensors) {
        if (!planned.activations)
            continue;
        const auto replacer = inputs ? inputs(planned.tensor) : nullptr;
        if (!replacer)
            return tl::unexpected(replacer.error());
        if (!*replacer)
            return failure(ErrorCode::InvalidArgument, teacher.model->tensors[planned.tensor].name,
                "its inputs are planned as " + planned.activations->toString() + ", and nothing rounds them");
    }
    return {};
}

/// Σ x² by column of a layer's inputs.
void addSquares(const LayerGradient& gradient, std::vector<double>& sums)
{
    sums.resize(gradient.layer.inputs);
    for (std::size_t row = 0; row < gradient.inputs.rows; ++row)
        for (std::size_t i = 0; i < sums.size(); ++i) {
            const auto x = static_cast<double>(gradient.inputs.row(row)[i]);
            sums[i] += x * x;
        }
}

std::size_t windowsOfPass(const TrainingOptions& options)
{
    return (options.batch + options.accumulate - 1) / options.accumulate;
}

std::uint64_t threadsOf(const TrainingOptions& options)
{
    return static_cast<std::uint64_t>(
        ComputeArena(options.threads).execute([] { return tbb::this_task_arena::max_concurrency(); }));
}

/// 20 per trained weight, what a pass over the longest windows takes, and what teaches it. @pre requireTrained()
std::uint64_t trainingBytes(
    const Decoder& teacher, const Plan& plan, const WindowedText& text, const TrainingOptions& options)
{
    std::uint64_t trained = 0, longest = 0;
    for (const auto& planned : plan.tensors)
        if (planned.scheme)
            trained += teacher.model->tensors[planned.tensor].parameters();
    for (const auto& window : text.windows)
        longest = std::max<std::uint64_t>(longest, window.length);
    constexpr std::uint64_t kBytesPerWeight = 20;  // the weight, its gradient, two moments, what it is rounded to
    const auto tokens = longest * windowsOfPass(options);
    const auto threads = std::min<std::uint64_t>(threadsOf(options), windowsOfPass(options));  // a window each
    return (kBytesPerWeight * trained) + backwardBytes(teacher, tokens, longest, false, replacesInputs(plan), threads)
        + (options.distils ? distillationBytes(teacher, tokens, threads) : 0);
}

}  // namespace

Training::Training(const Decoder& teacher, const WindowedText& text, const WindowedText& heldOut,
    TrainingOptions options, InputHook inputs)
    : m_teacher(teacher)
    , m_text(text)
    , m_heldOut(heldOut)
    , m_options(options)
    , m_inputs(std::move(inputs))
{
}

Result<std::unique_ptr<Training>> Training::prepare(const Decoder& teacher, const Plan& plan, const WindowedText& text,
    const WindowedText& heldOut, const TrainingOptions& options, std::stop_token stop, InputHook inputs)
{
    if (auto sensible = requireSensible(text, heldOut, options); !sensible)
        return tl::unexpected(sensible.error());
    for (const auto* one : {&text, &heldOut})
        if (auto readable = requireReadable(teacher, *one); !readable)
            return tl::unexpected(readable.error());
    if (auto trained = requireTrained(teacher, plan); !trained)
        return tl::unexpected(trained.error());
    if (auto given = requireInputs(teacher, plan, inputs); !given)
        return tl::unexpected(given.error());
    const auto needed = trainingBytes(teacher, plan, text, options);
    if (needed > options.memory)
        return failure(ErrorCode::InvalidArgument, "memory",
            std::to_string(options.memory) + " bytes are too few: what is trained and a pass over "
                + std::to_string(windowsOfPass(options)) + " windows take " + std::to_string(needed));
    std::unique_ptr<Training> training(new Training(teacher, text, heldOut, options, std::move(inputs)));
    const auto spare = options.memory - needed;
    // A text that is read once is taught once.
    const bool returns = options.distils && options.steps * options.batch > text.windows.size();
    const auto forTeacher = returns ? spare / 4 : 0;
    training->m_taught.emplace(teacher, text, forTeacher);
    training->m_spareBytes = spare - forTeacher;
    for (const auto& planned : plan.tensors)
        if (planned.scheme)
            training->m_schemes += std::to_string(planned.tensor) + "=" + planned.scheme->toString()
                + (planned.activations ? "/" + planned.activations->toString() : "") + ";";
    auto student = Student::create(teacher, plan, options.rule, stop);
    if (!student)
        return tl::unexpected(student.error());
    training->m_student = std::move(*student);
    if (!options.distils)
        return training;
    auto head = loadLayers(*teacher.model, std::span(&teacher.head, 1), {}, stop);
    if (!head)
        return tl::unexpected(head.error());
    training->m_teacherHead = std::move(*head);
    return training;
}

Result<std::unique_ptr<Training>> Training::begin(const Decoder& teacher, const Plan& plan, const WindowedText& text,
    const WindowedText& heldOut, const TrainingOptions& options, std::stop_token stop, InputHook inputs)
{
    auto training = prepare(teacher, plan, text, heldOut, options, stop, std::move(inputs));
    if (!training)
        return training;
    auto ready = ComputeArena(options.threads).execute([&]() -> Result<void> {
        const auto importance = (*training)->measureInputs(stop);
        if (!importance)
            return tl::unexpected(importance.error());
        if (auto done = (*training)->m_student->initialize(*importance, stop); !done)
            return done;
        return (*training)->m_student->quantize(stop);
    });
    if (!ready)
        return tl::unexpected(ready.error());
    return training;
}

Result<std::unique_ptr<Training>> Training::goOn(const std::filesystem::path& path, const Decoder& teacher,
    const Plan& plan, const WindowedText& text, const WindowedText& heldOut, const TrainingOptions& options,
    std::stop_token stop, InputHook inputs)
{
    auto training = prepare(teacher, plan, text, heldOut, options, std::move(stop), std::move(inputs));
    if (training)
        if (auto resumed = (*training)->resume(path); !resumed)
            return tl::unexpected(resumed.error());
    return training;
}

/// Σ x² by column of every trained matrix' inputs, over the first step's windows.
Result<std::map<std::size_t, std::vector<double>>> Training::measureInputs(std::stop_token stop)
{
    std::map<std::size_t, std::vector<double>> squares;
    if (m_options.rule == StepRule::Estimated)
        return squares;
    const GradientSink sink = [&](const PartGradients& part) -> Result<void> {
        for (const auto& sequence : part.sequences)
            for (const auto& gradient : sequence.layers) {
                if (stop.stop_requested())
                    return stopped("training");
                addSquares(gradient, squares[gradient.layer.tensor]);
            }
        return {};
    };
    for (const auto& pass : passesOf(windowsOfStep(0))) {
        const auto batch = someWindows(m_text, pass);
        Progress ignored;
        const auto done = runBackward(m_teacher, batch, 0, batch.windows.size(),
            {.loss = crossEntropyLoss(batch), .sink = sink}, stop, ProgressShare(ignored, 0));
        if (!done)
            return tl::unexpected(done.error());
    }
    return squares;
}

/// What a step does one after the other.
std::vector<std::vector<std::size_t>> Training::passesOf(const std::vector<std::size_t>& windows) const
{
    std::vector<std::vector<std::size_t>> passes;
    const auto perPass = windowsOfPass(m_options);
    for (std::size_t i = 0; i < windows.size(); ++i) {
        if (i % perPass == 0)
            passes.emplace_back();
        passes.back().push_back(windows[i]);
    }
    return passes;
}

std::vector<std::size_t> Training::windowsOfStep(std::uint64_t step) const
{
    return examplesOfStep(m_text.windows.size(), m_options.batch, step, m_options.seed);
}

Result<double> Training::addPass(const std::vector<std::size_t>& windows, double scale, const std::stop_token& stop)
{
    const auto batch = someWindows(m_text, windows);
    std::vector<TaughtWindow> taught;
    if (m_options.distils) {
        auto outputs = m_taught->of(windows, stop);
        if (!outputs)
            return tl::unexpected(outputs.error());
        taught = std::move(*outputs);
    }
    const BackwardHooks hooks {.weights = m_student->weights(),
        .inputs = m_inputs,
        .loss = m_options.distils ? distillationLoss(m_teacher, m_teacherHead, batch, taught, scale)
                                  : crossEntropyLoss(batch, scale),
        .sink = [&](const PartGradients& part) { return m_student->addGradients(part, stop); },
        .spareBytes = m_spareBytes};
    Progress ignored;
    const auto done =
        runBackward(m_student->decoder(), batch, 0, batch.windows.size(), hooks, stop, ProgressShare(ignored, 0));
    if (!done)
        return tl::unexpected(done.error());
    return done->loss;
}

Result<TrainingStep> Training::step(std::stop_token stop)
{
    const auto windows = windowsOfStep(m_done);
    std::size_t predictions = 0;
    for (const auto window : windows)
        predictions += m_text.windows[window].scored();
    const double scale = 1.0 / static_cast<double>(predictions);
    TrainingStep made {
        .step = m_done, .rate = scheduledRate(m_options.learningRate, m_done, m_options.steps, m_options.warmUp)};
    return ComputeArena(m_options.threads).execute([&]() -> Result<TrainingStep> {
        m_student->clearGradients();
        for (const auto& pass : passesOf(windows)) {
            const auto loss = addPass(pass, scale, stop);
            if (!loss)
                return tl::unexpected(loss.error());
            made.loss += *loss;
        }
        const auto norm = m_student->update({.weights = made.rate,
            .steps = made.rate * m_options.stepRate,
            .weightDecay = m_options.weightDecay,
            .clipNorm = m_options.clipNorm,
            .number = m_done + 1});
        if (!norm)
            return tl::unexpected(norm.error());
        made.gradientNorm = *norm;
        // A step that was begun ends: there is no half of one to go on from.
        if (auto done = m_student->quantize({}); !done)
            return tl::unexpected(done.error());
        ++m_done;
        m_history.steps.push_back(made);
        return made;
    });
}

Result<TrainingEvaluation> Training::evaluate(std::stop_token stop)
{
    return ComputeArena(m_options.threads).execute([&]() -> Result<TrainingEvaluation> {
        std::vector<TokenScore> scores;
        Progress ignored;
        const auto calls = std::max<std::size_t>(1, kEvaluatedTogether / m_heldOut.windowsPerCall);
        const auto together = calls * m_heldOut.windowsPerCall;
        for (std::size_t first = 0; first < m_heldOut.windows.size(); first += together) {
            const auto last = std::min(first + together, m_heldOut.windows.size());
            const auto base = runForward(m_teacher, m_heldOut, first, last, {}, {}, stop);
            if (!base)
                return tl::unexpected(base.error());
            const auto other =
                runForward(m_student->decoder(), m_heldOut, first, last, m_student->weights(), m_inputs, stop);
            if (!other)
                return tl::unexpected(other.error());
            const auto predictions = predictionsOf(m_heldOut, first, last);
            const Replacers none;
            const auto some = scorePredictions(m_teacher, predictions,
                {.base = *base, .other = *other, .replacers = none}, stop, ProgressShare(ignored, 0));
            if (!some)
                return tl::unexpected(some.error());
            scores.insert(scores.end(), some->begin(), some->end());
        }
        if (auto finite = requireFinite(m_teacher, scores); !finite)
            return tl::unexpected(finite.error());
        const auto divergence = divergenceOf(scores);
        return TrainingEvaluation {.step = m_done,
            .perplexity = perplexityOf(scores, &TokenScore::negativeLog).value,
            .teacherPerplexity = perplexityOf(scores, &TokenScore::negativeLogBase).value,
            .divergence = divergence.mean,
            .topAgreement = divergence.topAgreement};
    });
}

bool Training::isDone() const
{
    if (m_done >= m_options.steps)
        return true;
    const auto& all = m_history.evaluations;
    if (m_options.patience == 0 || all.size() <= m_options.patience)
        return false;
    const auto best = std::min_element(all.begin(), all.end(),
        [](const TrainingEvaluation& a, const TrainingEvaluation& b) { return a.perplexity < b.perplexity; });
    return static_cast<std::uint64_t>(all.end() - best) > m_options.patience;
}

bool Training::isEvaluationDue() const
{
    return m_done == 0 || (m_options.evaluateEvery != 0 && m_done % m_options.evaluateEvery == 0);
}

Result<void> Training::run(std::stop_token stop, Progress& progress, const std::function<Result<void>()>& afterStep)
{
    progress.totalItems = static_cast<std::uint32_t>(m_options.steps);
    progress.totalBytes = m_options.steps;
    progress.doneItems = static_cast<std::uint32_t>(m_done);
    progress.doneBytes = m_done;
    const auto evaluateNow = [&]() -> Result<void> {
        if (!m_history.evaluations.empty() && m_history.evaluations.back().step == m_done)
            return {};
        auto found = evaluate(stop);
        if (!found)
            return tl::unexpected(found.error());
        m_history.evaluations.push_back(*found);
        return {};
    };
    // A training that was stopped during an evaluation lacks it.
    if (isEvaluationDue())
        if (auto done = evaluateNow(); !done)
            return done;
    while (!isDone()) {
        if (auto made = step(stop); !made)
            return tl::unexpected(made.error());
        progress.doneBytes = m_done;
        progress.doneItems = static_cast<std::uint32_t>(m_done);
        if (isEvaluationDue())
            if (auto done = evaluateNow(); !done)
                return done;
        if (afterStep)
            if (auto done = afterStep(); !done)
                return done;
    }
    return evaluateNow();
}

}  // namespace quantloupe
