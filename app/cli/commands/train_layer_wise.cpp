// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/training_setup.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/weight_quantization.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

namespace quantloupe::cli {
namespace {

/// Options of the whole model's training have no meaning here; those of both have other defaults.
Result<LayersTrainingOptions> layerOptionsOf(const Session& session, const TrainOptions& options)
{
    for (const auto* other : {"--state", "--fresh", "--loss", "--accumulate", "--weight-decay", "--clip"})
        if (options.given(other))
            return usageError(other, "means nothing with --layer-wise");
    const auto start = layerStartNamed(options.start);
    if (!start)
        return usageError("--start " + options.start, "there are best, rtn, gptq and cd");
    auto layers = options.layers;
    layers.heldOutTokens = std::max<std::size_t>(2, layers.tokens / 2);
    layers.memory = options.training.memory;
    auto& layer = layers.layer;
    layer.start = *start;
    layer.rule = options.training.rule;
    layer.seed = options.training.seed;
    layer.threads = session.threads();
    const auto take = [&](const char* name, const auto& from, auto& into) {
        if (options.given(name))
            into = from;
    };
    take("--steps", options.training.steps, layer.steps);
    take("--batch", options.training.batch, layer.batch);
    take("--lr", options.training.learningRate, layer.learningRate);
    take("--step-lr", options.training.stepRate, layer.stepRate);
    take("--warm-up", options.training.warmUp, layer.warmUp);
    take("--evaluate-every", options.training.evaluateEvery, layer.evaluateEvery);
    take("--patience", options.training.patience, layer.patience);
    return layers;
}

const char* wordsFor(LayerVerdict verdict)
{
    switch (verdict) {
    case LayerVerdict::BetterThanNearest: return "better than RTN";
    case LayerVerdict::NotBetterThanNearest: return "NOT better than RTN";
    case LayerVerdict::BetterThanGptq: return "better than GPTQ";
    case LayerVerdict::IsGptq: return "no better: is GPTQ's rounding";
    case LayerVerdict::NotBetterThanGptq: return "NOT better than GPTQ";
    }
    return "";
}

Json errorJson(const LayerError& error)
{
    return {{"squared", number(error.squared)}, {"relative", number(error.relative)}};
}

Json methodJson(const LayerMethod& method)
{
    return {{"training", errorJson(method.training)}, {"held_out", errorJson(method.heldOut)}};
}

Json layerJson(const Decoder& decoder, const TrainedTensor& trained)
{
    const auto& result = trained.result;
    Json evaluations = Json::array();
    for (const auto& evaluation : result.history.evaluations)
        evaluations.push_back({{"step", evaluation.step}, {"deciding", errorJson(evaluation.deciding)}});
    return {{"tensor", decoder.model->tensors[trained.tensor].name},
        {"scheme", result.layer->quantizer.scheme().toString()}, {"rtn", methodJson(result.nearest)},
        {"gptq", result.gptq ? methodJson(*result.gptq) : Json(nullptr)}, {"qat", methodJson(result.trained)},
        {"before_training", methodJson(result.begun)}, {"beats_rtn", result.beatsNearest()},
        {"beats_gptq", result.gptq ? Json(result.beatsGptq()) : Json(nullptr)}, {"start", nameOf(result.start)},
        {"kept_step", result.keptStep}, {"steps_done", result.history.steps.size()},
        {"by", result.byMoments ? "moments" : "tokens"}, {"training_tokens", result.trainingTokens},
        {"deciding_tokens", result.decidingTokens}, {"judging_tokens", result.judgingTokens},
        {"evaluations", std::move(evaluations)}};
}

Findings layerFindings(const Decoder& decoder, const std::vector<TrainedTensor>& trained)
{
    Findings findings;
    findings.table = TextTable({"layer", "RTN", "GPTQ", "QAT", "began as", "with", "step kept", "QAT is"});
    Json layers = Json::array();
    std::size_t compared = 0, better = 0, gained = 0;
    for (const auto& one : trained) {
        const auto& result = one.result;
        layers.push_back(layerJson(decoder, one));
        gained += result.beatsStart() ? 1 : 0;
        compared += result.gptq ? 1 : 0;
        better += result.gptq && result.beatsGptq() ? 1 : 0;
        findings.table.add({printable(decoder.model->tensors[one.tensor].name),
            Cell(result.nearest.heldOut.relative, 5), result.gptq ? Cell(result.gptq->heldOut.relative, 5) : Cell("–"),
            Cell(result.trained.heldOut.relative, 5), nameOf(result.start), Cell(result.begun.heldOut.relative, 5),
            Cell(result.keptStep), wordsFor(result.verdict())});
    }
    findings.json = {{"layers", std::move(layers)}, {"compared_with_gptq", compared}, {"better_than_gptq", better},
        {"better_than_start", gained}};
    findings.text = "Share of each layer's output that is error, on held-out inputs that nothing was chosen by:\n"
        + findings.table.text() + "\n";
    if (compared > 0)
        findings.text += "QAT is better than GPTQ in " + std::to_string(better) + " of " + std::to_string(compared)
            + " layers" + (better < compared ? ", and not better in the others.\n" : ".\n");
    findings.text += "Training itself made " + std::to_string(gained) + " of " + std::to_string(trained.size())
        + " layers better than what they began as.\n";
    if (compared < trained.size())
        findings.text +=
            std::to_string(trained.size() - compared) + " layers have a format that GPTQ does not round.\n";
    return findings;
}

}  // namespace

Result<void> trainLayerWise(
    const Session& session, const TrainOptions& options, const CheckpointTarget& target, const Decoder& decoder)
{
    const auto start = std::chrono::steady_clock::now();
    const auto layerOptions = layerOptionsOf(session, options);
    if (!layerOptions)
        return tl::unexpected(layerOptions.error());
    const auto wants = [&](std::size_t tensor) { return session.wants(decoder.model->tensors[tensor].name); };
    const auto plan =
        planTraining(session, options, decoder, [&](const Plan& all) { return othersThanLayers(decoder, all, wants); });
    if (!plan)
        return tl::unexpected(plan.error());
    if (const auto floating = requireFloatingInputs(plan->plan); !floating)
        return usageError("--layer-wise", floating.error().reason);
    const auto chosen = layersToTrain(decoder, plan->plan).size();
    if (chosen == 0)
        return usageError(session.options.tensors.empty() ? "--scheme" : "--tensors",
            "no layer of a block that would be quantized is left to train");
    if (!plan->kept.empty())
        session.warn(std::to_string(plan->kept.size())
            + " tensors that would be quantized are not trained: they are kept as stored");
    if (options.checkpoint.dryRun || !session.options.out.empty()) {
        const auto request = trainedCheckpoint(layersOutline(decoder, plan->plan), plan->recipe);
        if (auto writable = prepareOut(session, target, options, request, *plan);
            !writable || options.checkpoint.dryRun)
            return writable;
    }
    const auto texts = readTrainingTexts(session, options, *decoder.model);
    if (!texts)
        return tl::unexpected(texts.error());
    const auto trained = [&] {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet);
        return trainLayers(decoder, plan->plan, texts->text, texts->heldOut, *layerOptions, session.stop, progress);
    }();
    if (!trained)
        return tl::unexpected(namedByOption(trained.error(), options.text));
    auto findings = layerFindings(decoder, *trained);
    findings.json["rule"] = options.rule;
    findings.json["training_windows"] = texts->text.windows.size();
    findings.json["held_out_windows"] = texts->heldOut.windows.size();
    findings.json["context"] = options.window.context;
    findings.json["kept_as_stored"] = plan->kept;
    findings.json["checkpoint"] = nullptr;
    if (!session.options.out.empty()) {
        const auto model = withTrainedLayers(decoder, *trained);
        auto written = writeWishedCheckpoint(session, target, options.checkpoint,
            trainedCheckpoint(model, plan->recipe), layersQuantization(decoder, *trained, weightQuantization(*model)));
        if (!written)
            return tl::unexpected(written.error());
        findings.json["checkpoint"] = std::move(written->json);
        findings.text += written->text;
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    return print(session, findings.json, findings.text);
}

}  // namespace quantloupe::cli
