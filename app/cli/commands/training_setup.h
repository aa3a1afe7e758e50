// SPDX-License-Identifier: GPL-3.0-or-later
// What both ways of `train-quantized` begin with: options, texts, the plan, and what --out will be.
#pragma once

#include "app/cli/commands/export_checkpoint.h"
#include "app/cli/inputs.h"
#include "app/cli/session.h"
#include "app/cli/text_input.h"

#include "core/checkpoints/require_as_planned.h"
#include "core/training/train.h"
#include "core/training/train_layers.h"
#include "core/training/training_plan.h"
#include "core/training/training_texts.h"

#include <cstddef>
#include <filesystem>
#include <string>

namespace quantloupe::cli {

struct TrainOptions {
    std::string model, text, evaluationText, state, loss = "kd", rule = "ste", target = "fake-quantized";
    RecipeChoice recipe;
    CheckpointWishes checkpoint;
    TextWindows window {.context = 256};
    TrainingOptions training;
    LayersTrainingOptions layers;
    std::string start = "best";
    bool fresh = false, layerWise = false;
    const CLI::App* command = nullptr;

    bool given(const std::string& option) const { return command->count(option) > 0; }
    bool resumes() const
    {
        std::error_code ignored;
        return !state.empty() && !fresh && std::filesystem::exists(state, ignored);
    }
};

/// Without a text to judge by, the last tenth of the windows is held out. Every prediction of a window counts, unlike
/// where a text is judged. Errors: usage; those of reading.
Result<TrainingTexts> readTrainingTexts(const Session& session, const TrainOptions& options, const Model& model);

/// What the options name, without what `untrained` finds. Errors: usage; those of reading a recipe.
Result<TrainingPlan> planTraining(
    const Session& session, const TrainOptions& options, const Decoder& decoder, const UntrainedTensors& untrained);

/// All that can be refused about --out, before the training; `request` is of its outline. With --dry-run, tells what
/// would be written of a training that nobody waits for.
Result<void> prepareOut(const Session& session, const CheckpointTarget& target, const TrainOptions& options,
    const CheckpointRequest& request, const TrainingPlan& plan);

/// `train-quantized --layer-wise`.
Result<void> trainLayerWise(
    const Session& session, const TrainOptions& options, const CheckpointTarget& target, const Decoder& decoder);

}  // namespace quantloupe::cli
