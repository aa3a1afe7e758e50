// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/training_setup.h"

#include "app/cli/output.h"

#include "core/analysis/weight_quantization.h"

#include <utility>

namespace quantloupe::cli {
namespace {

/// All of a file's windows, each scored whole.
Result<WindowedText> readAllOf(
    const Session& session, const Model& model, const std::string& file, const TextWindows& window)
{
    auto text = readWindows(session, model, file, window);
    if (!text)
        return tl::unexpected(namedByOption(text.error(), file));
    return scoredWhole(std::move(*text));
}

}  // namespace

Result<TrainingTexts> readTrainingTexts(const Session& session, const TrainOptions& options, const Model& model)
{
    auto text = readAllOf(session, model, options.text, options.window);
    if (!text)
        return tl::unexpected(text.error());
    if (!options.evaluationText.empty()) {
        auto heldOut = readAllOf(session, model, options.evaluationText, {.context = options.window.context});
        if (!heldOut)
            return tl::unexpected(heldOut.error());
        return TrainingTexts {.text = std::move(*text), .heldOut = std::move(*heldOut)};
    }
    auto texts = holdOut(std::move(*text));
    if (!texts)
        return usageError("--text " + options.text, texts.error().reason + ", or give --eval-text");
    return texts;
}

Result<TrainingPlan> planTraining(
    const Session& session, const TrainOptions& options, const Decoder& decoder, const UntrainedTensors& untrained)
{
    auto chosen = chooseRecipe(session, options.recipe, catalogOf(*decoder.model));
    if (!chosen)
        return tl::unexpected(chosen.error());
    if (!*chosen)
        return usageError("train-quantized", "needs --scheme, --recipe or a --study that holds a recipe");
    auto plan = quantloupe::planTraining(*decoder.model, std::move(**chosen), untrained);
    if (!plan)
        return usageError("--recipe", plan.error().reason);
    return plan;
}

Result<void> prepareOut(const Session& session, const CheckpointTarget& target, const TrainOptions& options,
    const CheckpointRequest& request, const TrainingPlan& plan)
{
    const auto draft = draftWishedCheckpoint(target, options.checkpoint, request);
    if (!draft)
        return tl::unexpected(draft.error());
    if (auto same = requireAsPlanned(target, *draft, request); !same)
        return same;
    if (!options.checkpoint.dryRun)
        return requirePlace(session, *draft);
    const auto told =
        writeWishedCheckpoint(session, target, options.checkpoint, request, weightQuantization(*request.model));
    if (!told)
        return tl::unexpected(told.error());
    return print(session, {{"kept_as_stored", plan.kept}, {"checkpoint", told->json}}, told->text);
}

}  // namespace quantloupe::cli
