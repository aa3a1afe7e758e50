// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/training_setup.h"

#include "app/cli/output.h"

#include "core/analysis/weight_quantization.h"

#include <algorithm>
#include <utility>

namespace quantloupe::cli {
namespace {

/// Every prediction of a window counts, unlike where a text is judged.
Result<WindowedText> readAllOf(
    const Session& session, const Model& model, const std::string& file, const TextWindows& window)
{
    auto text = readWindows(session, model, file, window);
    if (!text)
        return tl::unexpected(namedByOption(text.error(), file));
    for (auto& one : text->windows)
        one.firstScored = 0;
    return text;
}

/// Every trained matrix must be written under the scheme that it is trained under, or as floats that hold its values.
Result<void> requireAsTrained(
    const CheckpointTarget& target, const CheckpointDraft& draft, const CheckpointRequest& request)
{
    for (const auto& planned : request.plan.tensors) {
        if (!planned.scheme)
            continue;
        bool written = false;
        std::string otherwise = "as stored";
        for (const auto& tensor : draft.tensors) {
            if (tensor.source != planned.tensor)
                continue;
            written =
                tensor.scheme && (*tensor.scheme == *planned.scheme || *tensor.scheme == Scheme::of(Format::Fp32));
            if (!written) {
                otherwise = tensor.scheme ? "as " + tensor.scheme->toString() : otherwise;
                break;
            }
        }
        if (!written)
            return failure(ErrorCode::Unsupported, request.model->tensors[planned.tensor].name,
                "would be trained as " + planned.scheme->toString() + ", and " + std::string(target.name)
                    + " would write it " + otherwise + ": train a scheme that it holds, or write another target");
    }
    return {};
}

}  // namespace

Result<TrainingTexts> readTrainingTexts(const Session& session, const TrainOptions& options, const Model& model)
{
    auto text = readAllOf(session, model, options.text, options.window);
    if (!text)
        return tl::unexpected(text.error());
    TrainingTexts texts {.text = std::move(*text)};
    if (!options.evaluationText.empty()) {
        auto heldOut = readAllOf(session, model, options.evaluationText, {.context = options.window.context});
        if (!heldOut)
            return tl::unexpected(heldOut.error());
        texts.heldOut = std::move(*heldOut);
        return texts;
    }
    auto& windows = texts.text.windows;
    if (windows.size() < 2)
        return usageError("--text " + options.text, "is one window: give --eval-text, or a longer text to hold out of");
    const auto kept = windows.size() - std::max<std::size_t>(1, windows.size() / 10);
    texts.heldOut = texts.text;
    texts.heldOut.windows.erase(
        texts.heldOut.windows.begin(), texts.heldOut.windows.begin() + static_cast<std::ptrdiff_t>(kept));
    windows.resize(kept);
    return texts;
}

Result<TrainingPlan> planTraining(const Session& session, const TrainOptions& options, const Decoder& decoder,
    const std::function<std::vector<std::size_t>(const Plan&)>& untrained)
{
    const auto catalog = catalogOf(*decoder.model);
    auto chosen = chooseRecipe(session, options.recipe, catalog);
    if (!chosen)
        return tl::unexpected(chosen.error());
    if (!*chosen)
        return usageError("train-quantized", "needs --scheme, --recipe or a --study that holds a recipe");
    TrainingPlan result {.recipe = std::move(**chosen)};
    result.plan = resolve(result.recipe, catalog);
    for (const auto& planned : result.plan.tensors)
        if (planned.activations)
            return usageError("--recipe", "inputs of layers cannot be quantized in training yet: name weights alone");
    for (const auto tensor : untrained(result.plan)) {
        const auto& name = decoder.model->tensors[tensor].name;
        result.recipe.keep.push_back(name);
        result.kept.push_back(name);
    }
    if (!result.kept.empty())
        result.plan = resolve(result.recipe, catalog);
    return result;
}

CheckpointRequest trainedCheckpoint(ModelPointer trained, const Recipe& recipe)
{
    auto catalog = catalogOf(*trained);
    auto plan = resolve(recipe, catalog);
    return {.model = std::move(trained), .catalog = std::move(catalog), .recipe = recipe, .plan = std::move(plan)};
}

Result<void> prepareOut(const Session& session, const CheckpointTarget& target, const TrainOptions& options,
    const CheckpointRequest& request, const TrainingPlan& plan)
{
    const auto draft = draftWishedCheckpoint(target, options.checkpoint, request);
    if (!draft)
        return tl::unexpected(draft.error());
    if (auto same = requireAsTrained(target, *draft, request); !same)
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
