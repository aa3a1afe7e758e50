// SPDX-License-Identifier: GPL-3.0-or-later
// What running the model on text teaches: calibration, sensitive layers, and what the recipe does to the predictions.
#include "core/analysis/layer_divergence.h"
#include "core/calibration/input_profile.h"
#include "core/calibration/input_quality.h"
#include "core/study/calibrate_study.h"
#include "core/study/known_inputs.h"
#include "widgets/workbench/text_reading.h"
#include "widgets/workbench/workbench_state.h"

#include <QFileInfo>

#include <algorithm>
#include <cmath>
#include <limits>

using quantloupe::Progress;
using quantloupe::Result;

namespace {

CalibratedInput calibratedInput(const quantloupe::InputFigures& figures)
{
    const auto quality = quantloupe::qualityOf(figures);
    const auto profile = quantloupe::inputProfileOf(figures);
    double loudest = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t i = 0; profile && i < profile->absMax.size(); ++i)
        loudest = std::fmax(loudest, profile->ratio(i));
    return {.layer = figures.key(),
        .tokens = figures.inputs.tokens,
        .loudest = loudest,
        .moved = quality.squaresMoved,
        .outliers = profile ? profile->outliers.size() : 0,
        .silentChannels = quality.silentChannels.size(),
        .fewTokens = quality.fewTokens};
}

Result<void> calibrateOn(StudyWriter& writer, const TextReading& reading, const std::string& name, unsigned threads,
    std::stop_token stop, Progress& progress, LiveList<CalibratedInput>* soFar = nullptr)
{
    quantloupe::StudyCalibration how {.limits = {.threads = threads}};
    if (soFar)
        how.watch = [soFar](const quantloupe::InputFigures& figures) { soFar->append(calibratedInput(figures)); };
    return writer.use([&](quantloupe::Study& study) -> Result<void> {
        const auto done =
            quantloupe::calibrateStudy(study, reading.decoder, reading.windows, name, how, stop, progress);
        if (!done)
            return tl::unexpected(done.error());
        return {};
    });
}

/// A pass of its own, whose progress begins anew.
Result<void> takeGradientsOf(StudyWriter& writer, const TextReading& reading, const std::string& name,
    quantloupe::GradientCalibration how, unsigned threads, std::stop_token stop, Progress& progress)
{
    progress.totalBytes = 0;
    progress.doneBytes = 0;
    progress.doneItems = 0;
    how.limits.threads = threads;
    return writer.use([&](quantloupe::Study& study) -> Result<void> {
        const auto taken = quantloupe::calibrateGradients(
            study, reading.decoder, reading.windows, name, how, std::move(stop), progress);
        return taken ? Result<void>() : Result<void>(tl::unexpected(taken.error()));
    });
}

/// Every layer with known inputs, measured under the one-point scheme first where it was not.
Result<void> rankOn(StudyWriter& writer, const quantloupe::Model& model, const TextReading& reading, unsigned threads,
    std::stop_token stop, Progress& progress, const std::function<void()>& published)
{
    const auto& scheme = quantloupe::onePointScheme();
    std::vector<std::size_t> tensors;
    std::vector<quantloupe::WorkUnit> work;
    writer.publish();
    auto known = writer.published();
    for (const auto tensor : model.quantizableTensors()) {
        if (!model.tensors[tensor].inputs)
            continue;
        tensors.push_back(tensor);
        const auto* measured = known->find(model.tensors[tensor].name, scheme.toString());
        if (!measured || measured->calibration != quantloupe::calibrationUsed(model.tensors[tensor]))
            work.push_back({tensor, {scheme}});
    }
    const auto store = [&](const quantloupe::TensorMeasurement& measurement) { return writer.append(measurement); };
    Progress unseen;
    if (auto done = quantloupe::analyze(model, work, threads, stop, unseen, store); !done)
        return done;
    writer.publish();
    known = writer.published();
    const auto layers = quantloupe::withoutDivergence(model, *known, tensors, std::span(&scheme, 1), reading.windows);
    return quantloupe::measureLayerDivergences(reading.decoder, reading.windows, layers, {.threads = threads}, stop,
        progress, [&](std::size_t index, const quantloupe::MeasuredDivergence& divergence) -> Result<void> {
            const auto updated = quantloupe::withDivergence(model, *known, layers[index], divergence);
            if (!updated)
                return tl::unexpected(updated.error());
            if (auto stored = writer.append(*updated); !stored)
                return stored;
            if (writer.publishIfDue())
                published();
            return {};
        });
}

}  // namespace

void Workbench::takeInputs()
{
    auto& state = *m_state;
    if (!state.model || !state.writer)
        return;
    takeSnapshot();
    const bool wasKnown = calibration() == quantloupe::Calibration::Given;
    state.model = std::make_shared<const quantloupe::Model>(
        quantloupe::withKnownInputs(*state.model, state.study, state.writer->path()));
    if (!wasKnown && calibration() == quantloupe::Calibration::Given)
        Q_EMIT studyChanged();
    startAnalysis();
}

Workbench::RecipeKeeper Workbench::recipeKeeper()
{
    auto writer = m_state->writer;
    if (!writer)
        return {[](const quantloupe::MeasuredRecipe&) { return Result<void>(); }, [] {}};
    return {[writer](const quantloupe::MeasuredRecipe& measured) {
                return writer->use([&](quantloupe::Study& study) { return study.append(measured); });
            },
        // `this` only receives queued calls here; jobs are joined before it dies.
        [this, writer] {
            writer->publish();
            QMetaObject::invokeMethod(this, &Workbench::takeSnapshot, Qt::QueuedConnection);
        }};
}

std::optional<CalibratingRun> Workbench::calibrate(
    const QString& textFile, std::size_t tokens, const std::optional<quantloupe::GradientCalibration>& gradients)
{
    auto& state = *m_state;
    if (!state.model || !state.writer)
        return std::nullopt;
    noteText(textFile);
    const auto name = QFileInfo(textFile).fileName();
    const auto soFar = std::make_shared<LiveList<CalibratedInput>>();
    auto* job = state.jobs->start({tr("Calibrate on %1").arg(name), jobviews::text},
        [model = state.model, writer = state.writer, file = toPath(textFile), tokens, name = name.toStdString(),
            gradients, threads = state.jobs->threads(),
            soFar](std::stop_token stop, Progress& progress) -> Result<void> {
            const auto reading = TextReading::of(*model, file, tokens);
            if (!reading)
                return tl::unexpected(reading.error());
            auto done = calibrateOn(*writer, *reading, name, threads, stop, progress, soFar.get());
            if (done && gradients)
                done = takeGradientsOf(*writer, *reading, name, *gradients, threads, stop, progress);
            writer->publish();  // also what was finished before it stopped
            return done;
        });
    connect(job, &Job::ended, this, &Workbench::takeInputs);
    connect(job, &Job::failed, this,
        [this](const quantloupe::Error& error) { reportFailure(tr("The model was not calibrated"), toText(error)); });
    return CalibratingRun {name, job, soFar};
}

void Workbench::rankLayers(const QString& textFile, std::size_t tokens)
{
    auto& state = *m_state;
    if (!state.model || !state.writer)
        return;
    noteText(textFile);
    const auto name = QFileInfo(textFile).fileName();
    auto* job = state.jobs->start({tr("Rank layers by %1").arg(name), jobviews::text},
        [this, model = state.model, writer = state.writer, file = toPath(textFile), tokens, name = name.toStdString(),
            threads = state.jobs->threads()](std::stop_token stop, Progress& progress) -> Result<void> {
            auto reading = TextReading::of(*model, file, tokens);
            if (!reading)
                return tl::unexpected(reading.error());
            auto known = model;
            if (quantloupe::calibrationOf(*model) == quantloupe::Calibration::Absent) {
                if (auto done = calibrateOn(*writer, *reading, name, threads, stop, progress); !done)
                    return done;
                writer->publish();
                known = std::make_shared<const quantloupe::Model>(
                    quantloupe::withKnownInputs(*model, writer->published(), writer->path()));
                reading->decoder.model = known.get();
                progress.doneBytes = 0;
                progress.doneItems = 0;
            }
            // `this` only receives queued calls here; jobs are joined before it dies.
            const auto done = rankOn(*writer, *known, *reading, threads, stop, progress,
                [&] { QMetaObject::invokeMethod(this, &Workbench::takeSnapshot, Qt::QueuedConnection); });
            writer->publish();  // also what was finished before it stopped
            return done;
        });
    connect(job, &Job::failed, this,
        [this](const quantloupe::Error& error) { reportFailure(tr("The layers were not ranked"), toText(error)); });
    connect(job, &Job::ended, this, &Workbench::takeInputs);
}

std::optional<EvaluationRun> Workbench::evaluateRecipe(
    const QString& textFile, std::size_t tokens, const std::optional<double>& alpha)
{
    auto& state = *m_state;
    if (!state.model)
        return std::nullopt;
    noteText(textFile);
    const auto name = QFileInfo(textFile).fileName();
    const auto soFar = std::make_shared<LiveList<EvaluationState>>();
    auto* job = state.jobs->start({tr("Evaluate on %1").arg(name), jobviews::text},
        [model = state.model, recipe = state.recipe, plan = state.plan, study = state.study, file = toPath(textFile),
            tokens, alpha, threads = state.jobs->threads(),
            soFar](std::stop_token stop, Progress& progress) -> Result<void> {
            const auto reading = TextReading::of(*model, file, tokens);
            if (!reading)
                return tl::unexpected(reading.error());
            const auto runtime =
                quantloupe::runtimeModel(*model, plan, recipe.keyValueCache, study->calibration, alpha, stop);
            if (!runtime)
                return tl::unexpected(runtime.error());
            std::vector<double> alphas;
            for (const auto& [norm, found] : runtime->alphas)
                alphas.push_back(found);
            std::sort(alphas.begin(), alphas.end());
            auto evaluation = quantloupe::evaluate(reading->decoder, reading->windows, runtime->hooks,
                {.threads = threads}, stop, progress, [&](const quantloupe::Evaluation& found) {
                    soFar->append({found, alphas});
                });
            if (!evaluation)
                return tl::unexpected(evaluation.error());
            soFar->append({std::move(*evaluation), alphas});
            return {};
        });
    connect(job, &Job::failed, this,
        [this](const quantloupe::Error& error) { reportFailure(tr("The recipe was not evaluated"), toText(error)); });
    return EvaluationRun {name, job, soFar};
}
