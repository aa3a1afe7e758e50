// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/layers_run.h"

#include <algorithm>
#include <utility>

using quantloupe::Result;
using quantloupe::TrainedTensor;

namespace {

/// More than a plot is wide.
constexpr std::size_t mostPoints = 4'000;

}  // namespace

std::vector<quantloupe::LayerTrainingStep> curvePoints(const std::vector<quantloupe::LayerTrainingStep>& steps)
{
    const auto every = (steps.size() + mostPoints - 1) / mostPoints;
    if (every <= 1)
        return steps;
    std::vector<quantloupe::LayerTrainingStep> points;
    for (std::size_t i = 0; i < steps.size(); i += every)
        points.push_back(steps[i]);
    if (points.back().step != steps.back().step)
        points.push_back(steps.back());
    return points;
}

LayersRun::LayersRun(const quantloupe::Decoder& decoder, const quantloupe::TrainingPlan& plan,
    const quantloupe::TrainingTexts& texts, const quantloupe::LayersTrainingOptions& options)
    : m_decoder(decoder)
    , m_plan(plan)
    , m_texts(texts)
    , m_options(options)
    , m_planned(quantloupe::layersToTrain(decoder, plan.plan))
{
}

Result<std::unique_ptr<LayersRun>> LayersRun::begin(const quantloupe::Decoder& decoder,
    const quantloupe::TrainingPlan& plan, const quantloupe::TrainingTexts& texts,
    const quantloupe::LayersTrainingOptions& options)
{
    if (auto floating = quantloupe::requireFloatingInputs(plan.plan); !floating)
        return tl::unexpected(floating.error());
    std::unique_ptr<LayersRun> run(new LayersRun(decoder, plan, texts, options));
    if (run->m_planned.empty())
        return quantloupe::failure(quantloupe::ErrorCode::InvalidArgument, "training",
            "no layer of a block is chosen that could be trained by itself");
    return run;
}

Result<void> LayersRun::train(
    std::stop_token stop, quantloupe::Progress& progress, const std::function<void()>& afterStep)
{
    auto rest = m_plan.plan;
    std::erase_if(rest.tensors, [this](const quantloupe::PlannedTensor& planned) {
        return std::any_of(m_trained.begin(), m_trained.end(),
            [&](const TrainedTensorPointer& trained) { return trained->tensor == planned.tensor; });
    });
    auto options = m_options;
    for (const auto& trained : m_trained)
        options.memory -= trained->result.layer->weights.size() * sizeof(float);  // counted before: it is not below 0
    const auto done =
        quantloupe::trainLayers(m_decoder, rest, m_texts.text, m_texts.heldOut, options, std::move(stop), progress,
            {.afterLayer = [this](const TrainedTensor& trained) -> Result<void> {
                 m_trained.push_back(std::make_shared<const TrainedTensor>(trained));
                 m_steps.clear();
                 return {};
             },
                .afterStep = [&](std::size_t, const quantloupe::LayerTrainingStep& step) -> Result<void> {
                    m_steps.push_back(step);
                    afterStep();
                    return {};
                }});
    return done ? Result<void>() : tl::unexpected(done.error());
}

LayersSnapshot LayersRun::snapshot() const
{
    LayersSnapshot snapshot {.trained = m_trained, .steps = curvePoints(m_steps)};
    for (const auto tensor : m_planned)
        snapshot.planned.push_back(m_decoder.model->tensors[tensor].name);
    return snapshot;
}

std::vector<TrainedTensor> LayersRun::trained() const
{
    std::vector<TrainedTensor> all;
    for (const auto& one : m_trained)
        all.push_back(*one);
    return all;
}

quantloupe::ModelPointer LayersRun::model() const
{
    return quantloupe::withTrainedLayers(m_decoder, trained());
}

quantloupe::Recipe LayersRun::recipe() const
{
    auto recipe = m_plan.recipe;
    for (auto i = m_trained.size(); i < m_planned.size(); ++i)
        recipe.keep.push_back(m_decoder.model->tensors[m_planned[i]].name);
    return recipe;
}

quantloupe::WeightQuantization LayersRun::quantization(quantloupe::WeightQuantization others) const
{
    return quantloupe::layersQuantization(m_decoder, trained(), std::move(others));
}
