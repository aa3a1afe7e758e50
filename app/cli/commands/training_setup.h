// SPDX-License-Identifier: GPL-3.0-or-later
// What both ways of `train-quantized` begin with: options, texts, the plan, and what --out will be.
#pragma once

#include "app/cli/commands/export_checkpoint.h"
#include "app/cli/inputs.h"
#include "app/cli/session.h"
#include "app/cli/text_input.h"

#include "core/training/train.h"
#include "core/training/train_layers.h"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

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

/// What is trained, what is not, and what --out will be.
struct TrainingPlan {
    Recipe recipe {};
    Plan plan {};
    std::vector<std::string> kept {};  ///< that the recipe would quantize
};

/// What is trained on, and what by nobody.
struct TrainingTexts {
    WindowedText text {}, heldOut {};
};

/// Without a text to judge by, the last tenth of the windows is held out. Every prediction of a window counts, unlike
/// where a text is judged. Errors: usage; those of reading.
Result<TrainingTexts> readTrainingTexts(const Session& session, const TrainOptions& options, const Model& model);

/// What the options name. Planned tensors that `untrained` finds stay as stored: rounded afterwards they would be none
/// of what was evaluated.
Result<TrainingPlan> planTraining(const Session& session, const TrainOptions& options, const Decoder& decoder,
    const std::function<std::vector<std::size_t>(const Plan&)>& untrained);

/// A checkpoint of a trained model.
CheckpointRequest trainedCheckpoint(ModelPointer trained, const Recipe& recipe);

/// All that can be refused about --out, before the training; `request` is of its outline. With --dry-run, tells what
/// would be written of a training that nobody waits for.
Result<void> prepareOut(const Session& session, const CheckpointTarget& target, const TrainOptions& options,
    const CheckpointRequest& request, const TrainingPlan& plan);

/// `train-quantized --layer-wise`.
Result<void> trainLayerWise(
    const Session& session, const TrainOptions& options, const CheckpointTarget& target, const Decoder& decoder);

}  // namespace quantloupe::cli
