// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/training/train_layers.h"
#include "core/training/training_plan.h"
#include "core/training/training_texts.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

using TrainedTensorPointer = std::shared_ptr<const quantloupe::TrainedTensor>;

/// What a training of layers, each by itself, has come to, for the window: immutable.
struct LayersSnapshot {
    std::vector<std::string> planned {};                  ///< tensors in the order of their training
    std::vector<TrainedTensorPointer> trained {};         ///< of the first of them
    std::vector<quantloupe::LayerTrainingStep> steps {};  ///< curvePoints() so far, of the one behind those

    bool isDone() const { return trained.size() == planned.size(); }
};

/// Steps to draw a curve by: where there are thousands, evenly spread ones and the last.
std::vector<quantloupe::LayerTrainingStep> curvePoints(const std::vector<quantloupe::LayerTrainingStep>& steps);

/// Layers of a model under training, each by itself, one after the other. Borrows what it is given.
class LayersRun
{
public:
    /// Errors: Unsupported (the plan quantizes inputs), InvalidArgument (nothing to train).
    static quantloupe::Result<std::unique_ptr<LayersRun>> begin(const quantloupe::Decoder& decoder,
        const quantloupe::TrainingPlan& plan, const quantloupe::TrainingTexts& texts,
        const quantloupe::LayersTrainingOptions& options);

    /// Trains the layers that are not trained yet: the one that a stop left half begins anew, with the same bits. The
    /// limit of memory is for those that are trained already, too. @pre forgetHalf() after a stop. `afterStep` is
    /// called on this thread. Errors: those of trainLayers().
    quantloupe::Result<void> train(
        std::stop_token stop, quantloupe::Progress& progress, const std::function<void()>& afterStep);
    /// Forgets the steps of a layer that a stop left half.
    void forgetHalf() { m_steps.clear(); }
    LayersSnapshot snapshot() const;

    /// The model with what is trained so far, the recipe for it (other layers stay as stored), and the codes.
    quantloupe::ModelPointer model() const;
    quantloupe::Recipe recipe() const;
    quantloupe::WeightQuantization quantization(quantloupe::WeightQuantization others) const;

private:
    LayersRun(const quantloupe::Decoder& decoder, const quantloupe::TrainingPlan& plan,
        const quantloupe::TrainingTexts& texts, const quantloupe::LayersTrainingOptions& options);
    std::vector<quantloupe::TrainedTensor> trained() const;

    const quantloupe::Decoder& m_decoder;
    const quantloupe::TrainingPlan& m_plan;
    const quantloupe::TrainingTexts& m_texts;
    quantloupe::LayersTrainingOptions m_options;
    std::vector<std::size_t> m_planned;
    std::vector<TrainedTensorPointer> m_trained {};
    std::vector<quantloupe::LayerTrainingStep> m_steps {};
};
