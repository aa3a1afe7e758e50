// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/training_run.h"

#include "core/analysis/quantized_activations.h"
#include "core/analysis/smoothing.h"
#include "core/analysis/stored_weights.h"
#include "core/analysis/weight_quantization.h"
#include "core/base/compute_arena.h"
#include "core/calibration/model_text.h"
#include "core/checkpoints/require_as_planned.h"
#include "core/inference/evaluate.h"

#include <algorithm>
#include <utility>

using quantloupe::Progress;
using quantloupe::Result;
using quantloupe::Training;

namespace {

/// Points of a trajectory at most, the beginning aside.
constexpr std::uint64_t notedSteps = 200;
constexpr std::chrono::milliseconds betweenPublications {150};

}  // namespace

TrainingRun::TrainingRun(TrainingRequest request)
    : m_request(std::move(request))
{
}

Result<void> TrainingRun::begin(const std::stop_token& stop)
{
    const auto& model = *m_request.model;
    auto decoder = quantloupe::describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    m_decoder = std::move(*decoder);
    auto plan = quantloupe::planTraining(model, m_request.recipe, [this](const quantloupe::Plan& all) {
        return m_request.layers ? quantloupe::othersThanLayers(m_decoder, all)
                                : quantloupe::Student::untrained(m_decoder, all);
    });
    if (!plan)
        return tl::unexpected(plan.error());
    m_plan = std::move(*plan);
    const quantloupe::TextWindows how {
        .context = std::min<std::size_t>(m_request.context, model.config.contextLength.value_or(m_request.context)),
        .tokens = m_request.tokens};
    auto text = quantloupe::readModelText(model, m_request.text, how);
    if (!text)
        return tl::unexpected(text.error());
    auto texts = quantloupe::holdOut(quantloupe::scoredWhole(std::move(*text)), m_request.heldOut);
    if (!texts)
        return tl::unexpected(texts.error());
    m_texts = std::move(*texts);
    return beginTraining(stop);
}

Result<void> TrainingRun::beginTraining(const std::stop_token& stop)
{
    if (m_request.layers) {
        auto layers = LayersRun::begin(m_decoder, m_plan, m_texts, *m_request.layers);
        if (!layers)
            return tl::unexpected(layers.error());
        m_layers = std::move(*layers);
        return {};
    }
    auto inputs = quantloupe::quantizedInputs(*m_request.model, m_plan.plan, {});  // no ranges: each step has its own
    if (!inputs)
        return tl::unexpected(inputs.error());
    m_inputs = std::move(*inputs);
    auto training =
        Training::begin(m_decoder, m_plan.plan, m_texts.text, m_texts.heldOut, m_request.options, stop, m_inputs);
    if (!training)
        return tl::unexpected(training.error());
    m_trace.emplace((*training)->student());
    m_training = std::move(*training);
    return {};
}

Result<quantloupe::TrainingEvaluation> TrainingRun::measure(const quantloupe::Decoder& decoder,
    const quantloupe::ForwardHooks& hooks, const std::stop_token& stop, Progress& progress) const
{
    const auto found = quantloupe::evaluate(decoder, m_texts.heldOut, hooks,
        {.threads = m_request.options.threads, .memory = m_request.options.memory}, stop, progress);
    if (!found)
        return tl::unexpected(found.error());
    quantloupe::TrainingEvaluation measured {
        .perplexity = found->base.value, .teacherPerplexity = found->base.value, .topAgreement = 1.0};
    if (found->quantized && found->divergence) {
        measured.perplexity = found->quantized->value;
        measured.divergence = found->divergence->mean;
        measured.topAgreement = found->divergence->topAgreement;
    }
    return measured;
}

/// Learned grids do not begin with rounding to nearest: that is measured beside them.
Result<void> TrainingRun::measureRounding(const std::stop_token& stop)
{
    Progress unseen;
    auto found = measure(m_decoder,
        {.weights = quantloupe::storedWeights(*m_request.model, m_plan.plan, stop), .inputs = m_inputs}, stop, unseen);
    if (!found)
        return tl::unexpected(found.error());
    m_rounded = *found;
    return {};
}

Result<void> TrainingRun::compare(const quantloupe::Recipe& recipe, const quantloupe::ModelPointer& model,
    const quantloupe::StudyPointer& study, std::stop_token stop, Progress& progress)
{
    const std::lock_guard use(m_use);
    if (!m_training)
        return quantloupe::failure(
            quantloupe::ErrorCode::InvalidArgument, "training", "has not begun: there is no held-out text");
    const auto decoder = quantloupe::describeDecoder(*model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    const auto runtime = quantloupe::runtimeModel(*model, quantloupe::resolve(recipe, quantloupe::catalogOf(*model)),
        recipe.keyValueCache, study->calibration, quantloupe::usualSmoothing, stop);
    if (!runtime)
        return tl::unexpected(runtime.error());
    auto found = measure(*decoder, runtime->hooks, stop, progress);
    if (!found)
        return tl::unexpected(found.error());
    m_compared = *found;
    publish();
    return {};
}

Result<void> TrainingRun::train(std::stop_token stop, Progress& progress)
{
    const std::lock_guard use(m_use);
    if (!hasBegun())
        if (auto begun = begin(stop); !begun)
            return begun;
    if (m_layers)
        m_layers->forgetHalf();
    publish();
    if (m_layers) {
        auto done = m_layers->train(stop, progress, [this] { publishSometimes(); });
        publish();
        return done;
    }
    if (!m_rounded && m_request.options.rule != quantloupe::StepRule::Estimated)
        if (auto measured = measureRounding(stop); !measured)
            return measured;
    const auto done = m_training->run(stop, progress, [this]() -> Result<void> {
        noteStep();
        publishSometimes();
        return {};
    });
    publish();  // also what was done before it stopped
    return done;
}

void TrainingRun::noteStep()
{
    const auto done = m_training->history().steps.size();
    const auto every = (m_request.options.steps + notedSteps - 1) / notedSteps;
    if (done % every == 0 || m_training->isDone())
        m_trace->note(done, m_training->student());
}

void TrainingRun::look()
{
    const std::lock_guard use(m_use);
    if (hasBegun())
        publish();
}

void TrainingRun::publishSometimes()
{
    if (std::chrono::steady_clock::now() >= m_nextPublication)
        publish();
}

void TrainingRun::publish()
{
    if (m_layers) {
        const auto layers = std::make_shared<const LayersSnapshot>(m_layers->snapshot());
        publishNow({.kept = m_plan.kept,
            .windows = m_texts.text.windows.size(),
            .heldOutWindows = m_texts.heldOut.windows.size(),
            .isDone = layers->isDone(),
            .layers = layers});
        return;
    }
    TrainingSnapshot snapshot {.history = m_training->history(),
        .rounded = m_rounded,
        .compared = m_compared,
        .kept = m_plan.kept,
        .windows = m_texts.text.windows.size(),
        .heldOutWindows = m_texts.heldOut.windows.size()};
    const auto& evaluations = snapshot.history.evaluations;
    snapshot.isDone =
        m_training->isDone() && !evaluations.empty() && evaluations.back().step == snapshot.history.steps.size();
    // Grids found anew in every step begin with those of rounding to nearest.
    if (m_request.options.rule == quantloupe::StepRule::Estimated && !evaluations.empty())
        snapshot.rounded = evaluations.front();
    std::string watched;
    {
        const std::lock_guard lock(m_publicationMutex);
        watched = m_watched;
    }
    const auto& matrices = m_training->student().matrices();
    for (std::size_t i = 0; i < matrices.size(); ++i) {
        const auto& name = m_request.model->tensors[matrices[i].tensor].name;
        snapshot.trained.push_back(name);
        if (name != watched)
            continue;
        snapshot.watched = name;
        snapshot.spreads = m_trace->spreads(i);
        snapshot.beginning = m_trace->beginning(i);
        snapshot.now = quantloupe::levelHistogram(matrices[i]);
    }
    publishNow(std::move(snapshot));
}

void TrainingRun::publishNow(TrainingSnapshot snapshot)
{
    auto published = std::make_shared<const TrainingSnapshot>(std::move(snapshot));
    {
        const std::lock_guard lock(m_publicationMutex);
        m_published = std::move(published);
    }
    m_nextPublication = std::chrono::steady_clock::now() + betweenPublications;
}

void TrainingRun::watch(const std::string& tensor)
{
    const std::lock_guard lock(m_publicationMutex);
    m_watched = tensor;
}

TrainingSnapshotPointer TrainingRun::published() const
{
    const std::lock_guard lock(m_publicationMutex);
    return m_published;
}

Result<quantloupe::CheckpointDraft> TrainingRun::draft(
    const quantloupe::CheckpointTarget& target, const quantloupe::ModelPointer& student) const
{
    const auto request = quantloupe::trainedCheckpoint(student, m_layers ? m_layers->recipe() : m_plan.recipe);
    auto drafted = target.draft(request);
    if (!drafted)
        return drafted;
    if (auto same = quantloupe::requireAsPlanned(target, *drafted, request); !same)
        return tl::unexpected(same.error());
    return drafted;
}

quantloupe::ModelPointer TrainingRun::trainedModel() const
{
    return m_layers ? m_layers->model() : std::make_shared<const quantloupe::Model>(m_training->student().model());
}

std::vector<TrainingRun::Target> TrainingRun::targets()
{
    const std::lock_guard use(m_use);
    std::vector<Target> all;
    if (!hasBegun() || (m_layers && m_layers->snapshot().trained.empty()))
        return all;
    const auto student = trainedModel();
    for (const auto* target : quantloupe::checkpointTargets()) {
        const auto drafted = draft(*target, student);
        all.push_back({target, drafted ? std::nullopt : std::optional(drafted.error())});
    }
    return all;
}

Result<quantloupe::WrittenCheckpoint> TrainingRun::write(const quantloupe::CheckpointTarget& target,
    const std::filesystem::path& path, std::stop_token stop, Progress& progress)
{
    const std::lock_guard use(m_use);
    if (!hasBegun())
        return quantloupe::failure(
            quantloupe::ErrorCode::InvalidArgument, "training", "has not begun: there is nothing to write");
    const auto student = trainedModel();
    auto others = quantloupe::weightQuantization(*student);
    const auto drafted = draft(target, student);
    if (!drafted)
        return tl::unexpected(drafted.error());
    return quantloupe::writeCheckpoint(*drafted,
        m_layers ? m_layers->quantization(std::move(others)) : m_training->student().quantization(std::move(others)),
        path, {.threads = m_request.options.threads, .overwrite = true}, std::move(stop), progress);
}
