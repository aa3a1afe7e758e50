// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/training_setup.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/quantized_activations.h"
#include "core/analysis/weight_quantization.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include <unistd.h>

namespace quantloupe::cli {
namespace {

void tell(const Session& session, const TrainOptions& options, const TrainingHistory& history)
{
    if (session.options.quiet || history.evaluations.empty())
        return;
    const auto& found = history.evaluations.back();
    if (::isatty(STDERR_FILENO) == 1)
        std::fputs("\r\x1b[K", stderr);  // where the bar was drawn
    std::fprintf(stderr, "step %llu of %llu: ", static_cast<unsigned long long>(found.step),
        static_cast<unsigned long long>(options.training.steps));
    if (!history.steps.empty())
        std::fprintf(stderr, "loss %.4f, ", history.steps.back().loss);
    std::fprintf(stderr, "held out: KL %.4f, perplexity %.4f\n", found.divergence, found.perplexity);
}

Json evaluationJson(const TrainingEvaluation& found)
{
    return {{"step", found.step}, {"perplexity", number(found.perplexity)}, {"kl_mean", number(found.divergence)},
        {"top1_agreement", number(found.topAgreement)}};
}

Findings trainingFindings(const TrainOptions& options, const Training& training, const TrainingTexts& texts)
{
    const auto& [steps, evaluations] = training.history();
    Findings findings;
    Json evaluationList = Json::array(), stepList = Json::array();
    findings.table = TextTable({"step", "perplexity", "mean KL", "same likeliest token"});
    for (const auto& found : evaluations) {
        evaluationList.push_back(evaluationJson(found));
        findings.table.add({std::to_string(found.step), Cell(found.perplexity, 5), Cell(found.divergence, 4),
            Cell(found.topAgreement, 4)});
    }
    for (const auto& step : steps)
        stepList.push_back({{"step", step.step}, {"loss", number(step.loss)}, {"learning_rate", number(step.rate)},
            {"gradient_norm", number(step.gradientNorm)}});
    findings.json = {{"rule", options.rule}, {"loss", options.loss}, {"steps_done", steps.size()},
        {"training_windows", texts.text.windows.size()}, {"held_out_windows", texts.heldOut.windows.size()},
        {"context", options.window.context},
        {"perplexity_base", evaluations.empty() ? Json(nullptr) : number(evaluations.front().teacherPerplexity)},
        {"before", evaluations.empty() ? Json(nullptr) : evaluationJson(evaluations.front())},
        {"after", evaluations.empty() ? Json(nullptr) : evaluationJson(evaluations.back())},
        {"evaluations", std::move(evaluationList)}, {"steps", std::move(stepList)}};
    findings.text = findings.table.text() + "\n";
    if (!evaluations.empty())
        findings.text += "perplexity of the original on the held-out text: "
            + Cell(evaluations.front().teacherPerplexity, 5).shown + "\n";
    return findings;
}

/// Goes on from --state where there is one.
Result<std::unique_ptr<Training>> beginTraining(const Session& session, const TrainOptions& options,
    const Decoder& decoder, const Plan& plan, const InputHook& inputs, const TrainingTexts& texts)
{
    const auto& [text, heldOut] = texts;
    const bool resumes = options.resumes();
    auto training = resumes
        ? Training::goOn(options.state, decoder, plan, text, heldOut, options.training, session.stop, inputs)
        : Training::begin(decoder, plan, text, heldOut, options.training, session.stop, inputs);
    if (!training) {
        auto error = namedByOption(training.error(), options.text);
        if (resumes && error.code == ErrorCode::Conflict)
            error.reason += "; --fresh begins anew";
        return tl::unexpected(std::move(error));
    }
    if (resumes && !session.options.quiet)
        std::fprintf(
            stderr, "goes on behind step %zu of %s\n", (*training)->history().steps.size(), options.state.c_str());
    return training;
}

/// Keeps all that the training goes on from in --state.
Result<void> runTraining(const Session& session, const TrainOptions& options, Training& training)
{
    const auto& state = options.state;
    std::size_t told = training.history().evaluations.size();
    auto done = [&] {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet);
        return training.run(session.stop, progress, [&]() -> Result<void> {
            if (training.history().evaluations.size() == told)
                return {};
            told = training.history().evaluations.size();
            tell(session, options, training.history());
            return state.empty() ? Result<void>() : training.save(state);
        });
    }();
    if (!done && done.error().code == ErrorCode::Cancelled && !state.empty()) {
        if (auto kept = training.save(state); !kept)
            return kept;
        session.warn("what is done is kept in " + state + "; the same command goes on from there");
    }
    if (done && !state.empty())
        return training.save(state);
    return done;
}

Result<void> writeStudent(const Session& session, const TrainOptions& options, const CheckpointTarget& target,
    const Recipe& recipe, Training& training, Findings& findings)
{
    const auto model = std::make_shared<const Model>(training.student().model());
    auto written = writeWishedCheckpoint(session, target, options.checkpoint, trainedCheckpoint(model, recipe),
        training.student().quantization(weightQuantization(*model)));
    if (!written)
        return tl::unexpected(written.error());
    findings.json["checkpoint"] = std::move(written->json);
    findings.text += written->text;
    return {};
}

Result<void> trainQuantized(const Session& session, const TrainOptions& given)
{
    const auto start = std::chrono::steady_clock::now();
    auto options = given;
    const auto rule = stepRuleNamed(options.rule);
    if (!rule)
        return usageError("--rule " + options.rule, "there are ste, lsq and aff");
    if (options.loss != "kd" && options.loss != "ce")
        return usageError("--loss " + options.loss, "there are kd and ce");
    const auto* target = findCheckpointTarget(options.target);
    if (!target)
        return usageError("--to " + options.target, "is no checkpoint: 'quantloupe-cli targets' lists them");
    options.training.rule = *rule;
    options.training.distils = options.loss == "kd";
    options.training.threads = session.threads();
    options.training.seed = session.options.seed;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto decoder = describeDecoder(**model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    if (options.layerWise)
        return trainLayerWise(session, options, *target, *decoder);
    const auto plan =
        planTraining(session, options, *decoder, [&](const Plan& all) { return Student::untrained(*decoder, all); });
    if (!plan)
        return tl::unexpected(plan.error());
    const auto inputs = quantizedInputs(**model, plan->plan, {});  // no ranges: each step has its own
    if (!inputs)
        return usageError("activations", inputs.error().reason);
    for (const auto& name : plan->kept)
        session.warn(printable(name) + " is no matrix of a block and is not trained: it is kept as stored");
    if (options.checkpoint.dryRun || !session.options.out.empty()) {
        const auto request = trainedCheckpoint(Student::outline(*decoder, plan->plan), plan->recipe);
        if (auto writable = prepareOut(session, *target, options, request, *plan);
            !writable || options.checkpoint.dryRun)
            return writable;
    }
    const auto texts = readTrainingTexts(session, options, **model);
    if (!texts)
        return tl::unexpected(texts.error());
    auto training = beginTraining(session, options, *decoder, plan->plan, *inputs, *texts);
    if (!training)
        return tl::unexpected(training.error());
    if (auto done = runTraining(session, options, **training); !done)
        return done;
    auto findings = trainingFindings(options, **training, *texts);
    findings.json["kept_as_stored"] = plan->kept;
    findings.json["checkpoint"] = nullptr;
    if (!session.options.out.empty())
        if (auto written = writeStudent(session, options, *target, plan->recipe, **training, findings); !written)
            return written;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    return print(session, findings.json, findings.text);
}

void addTrainingOptions(CLI::App& command, TrainOptions& options)
{
    auto& training = options.training;
    command
        .add_option("--rule", options.rule,
            "Where steps come from: ste (from the weights, any scheme), lsq (a learned scale; sym, symf, asym),\n"
            "aff (a learned scale and minimum; asymf)")
        ->type_name("RULE")
        ->capture_default_str();
    command.add_option("--loss", options.loss, "kd: KL from the original's predictions; ce: the text's own next token")
        ->type_name("LOSS")
        ->capture_default_str();
    command.add_option("--steps", training.steps, "Updates of the weights")->type_name("N")->capture_default_str();
    command.add_option("--batch", training.batch, "Windows of a step")->type_name("N")->capture_default_str();
    command.add_option("--accumulate", training.accumulate, "Passes that a step is cut into, for less memory")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--lr", training.learningRate, "Highest learning rate")
        ->type_name("RATE")
        ->capture_default_str();
    command.add_option("--step-lr", training.stepRate, "Learning rate of learned steps, as a share of --lr")
        ->type_name("SHARE")
        ->capture_default_str();
    command.add_option("--warm-up", training.warmUp, "Steps until the highest rate, which then falls along a cosine")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--weight-decay", training.weightDecay, "Of AdamW")->type_name("RATE")->capture_default_str();
    command.add_option("--clip", training.clipNorm, "Largest norm of all gradients; 0: any")
        ->type_name("NORM")
        ->capture_default_str();
    command.add_option("--evaluate-every", training.evaluateEvery, "Steps between evaluations on the held-out text")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--patience", training.patience, "End after so many evaluations without a better one; 0: never")
        ->type_name("N")
        ->capture_default_str();
}

void addLayerOptions(CLI::App& command, TrainOptions& options)
{
    command.add_flag("--layer-wise", options.layerWise,
        "Train each layer by itself, on what its outputs lose, and compare with round-to-nearest and GPTQ");
    command
        .add_option("--start", options.start,
            "With --layer-wise, what weights begin as: rtn, gptq, cd, or the best of them on held-out inputs")
        ->type_name("START")
        ->capture_default_str();
    command
        .add_option("--layer-tokens", options.layers.tokens,
            "With --layer-wise, tokens whose inputs are kept of each layer; half as many of the held-out text")
        ->type_name("N")
        ->capture_default_str();
}

Action setUpTrain(CLI::App& command)
{
    auto options = std::make_shared<TrainOptions>();
    options->command = &command;
    command.add_option("MODEL", options->model, "Checkpoint with its tokenizer")->required();
    command.add_option("--text", options->text, "Text to train on (UTF-8)")->type_name("FILE")->required();
    command.add_option("--eval-text", options->evaluationText, "Text to judge by (default: the last tenth of --text)")
        ->type_name("FILE");
    addRecipeOptions(command, options->recipe);
    addTrainingOptions(command, *options);
    addContextOption(command, options->window);
    command.add_option("--tokens", options->window.tokens, "No more than the first so many tokens of the text")
        ->type_name("N");
    addLayerOptions(command, *options);
    command
        .add_option("--state", options->state,
            "File that the training is kept in at every evaluation, and gone on from where it exists")
        ->type_name("FILE");
    command.add_flag("--fresh", options->fresh, "Begin anew where --state exists, and replace it");
    addMemoryOption(command, options->training.memory);
    command.add_option("--to", options->target, "What --out is written as; 'quantloupe-cli targets' lists checkpoints")
        ->type_name("TARGET")
        ->capture_default_str();
    addCheckpointOptions(command, options->checkpoint);
    command.footer(
        "Matrices of blocks that the scheme or recipe names are quantized inside the forward pass, gradients pass\n"
        "straight through, and AdamW trains them and the norms; embedding and output head stay. A scheme such as\n"
        "int4:g32/int8:token rounds the inputs of these layers, too, as they come. The bits depend on\n"
        "--seed alone, not on threads. --out gets the learned codes and grids, not a rounding of the trained weights.\n"
        "\n"
        "With --layer-wise, each layer's outputs on the original model's inputs are what is trained: weights and "
        "grids\n"
        "alone, --tensors chooses which. --batch is then tokens (256), --steps 1000, --lr a share of the grids' mean\n"
        "step (0.0005), --evaluate-every 20 and --patience 20.");
    return [options](Session& session) { return trainQuantized(session, *options); };
}

}  // namespace

extern const Command train_quantizedCommand;
const Command train_quantizedCommand {"train-quantized",
    "Fine-tunes a model with quantization in its forward pass (QAT)",
    StudyOption | OutOption | TensorsOption | ThreadsOption, setUpTrain};

}  // namespace quantloupe::cli
