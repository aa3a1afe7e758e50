// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/calibration_findings.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"
#include "app/cli/text_input.h"

#include "core/base/text.h"
#include "core/calibration/calibrate.h"
#include "core/calibration/calibrated_importance.h"
#include "core/calibration/gather_gradients.h"
#include "core/study/calibrate_gradients.h"
#include "core/study/calibrate_study.h"

#include <chrono>
#include <filesystem>

namespace quantloupe::cli {
namespace {

struct CalibrateOptions {
    std::string model, text, imatrix;
    TextWindows window;
    std::uint64_t memory = CalibrationLimits().memory;
    bool fresh = false;
    bool noMoments = false;
    bool gradients = false;
    bool noFisher = false;
    std::size_t gradientTokens = quantloupe::gradientTokens;
};

Result<void> requireSomewhereToKeep(const Session& session, const CalibrateOptions& options)
{
    if (session.options.study.empty() && options.imatrix.empty())
        return usageError("calibrate", "nothing would be kept: name a --study, or an --imatrix to write");
    if (options.gradients && session.options.study.empty())
        return usageError("--gradients", "are kept in a study: name a --study");
    std::error_code ignored;
    if (!options.imatrix.empty() && !session.options.force && std::filesystem::exists(options.imatrix, ignored))
        return usageError("--imatrix", options.imatrix + " exists: --force overwrites it");
    return requireWritable(session, {".json", ".csv"});
}

/// A run that keeps nothing but the figures, in memory.
Result<ModelCalibration> runWithoutStudy(const Session& session, const CalibrateOptions& options,
    const Decoder& decoder, const WindowedText& windows, CalibrationText text)
{
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    ModelCalibration calibration;
    const InputSink sink = [&](GatheredInput gathered) -> Result<void> {
        calibration.set(std::make_shared<const InputFigures>(std::move(gathered.figures)));
        return {};
    };
    auto stream = ResidualStream::inMemory(static_cast<std::size_t>(tokensOf(windows)), decoder.hidden);
    auto done = calibrate(decoder, windows, {.moments = false, .sampleTokens = 0, .halfway = text.tokens / 2},
        {session.threads(), options.memory}, {}, stream, sink, session.stop, progress);
    if (!done)
        return tl::unexpected(done.error());
    text.complete = true;
    calibration.texts.push_back(std::move(text));
    return calibration;
}

struct Outcome {
    ModelCalibration calibration;
    CalibrationRun::Kind kind = CalibrationRun::Kind::First;
    std::size_t gradientLayers = 0;  ///< that were gathered now
};

Result<std::size_t> takeGradients(const Session& session, const CalibrateOptions& options, Study& study,
    const Decoder& decoder, const WindowedText& windows, const std::string& textName)
{
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    return calibrateGradients(study, decoder, windows, textName,
        {.limits = {session.threads(), options.memory}, .tokens = options.gradientTokens, .fisher = !options.noFisher},
        session.stop, progress);
}

/// What is finished stays in the study.
Result<Outcome> calibrateIntoStudy(const Session& session, const CalibrateOptions& options, const Model& model,
    const Decoder& decoder, const WindowedText& windows, const std::string& textName)
{
    auto study = openStudy(session, model);
    if (!study)
        return tl::unexpected(study.error());
    Result<CalibrationRun::Kind> kind;
    {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet);
        kind = calibrateStudy(**study, decoder, windows, textName,
            {.limits = {session.threads(), options.memory}, .moments = !options.noMoments, .fresh = options.fresh},
            session.stop, progress);
    }
    std::size_t gradientLayers = 0;
    if (kind && options.gradients) {
        const auto taken = takeGradients(session, options, **study, decoder, windows, textName);
        if (taken)
            gradientLayers = *taken;
        else
            kind = tl::unexpected(taken.error());
    }
    const auto calibration = (*study)->snapshot()->calibration;
    if (auto closed = (*study)->close(); !closed && kind)
        return tl::unexpected(closed.error());
    if (kind)
        return Outcome {calibration, *kind, gradientLayers};
    if (kind.error().code == ErrorCode::Cancelled)
        session.warn("what is finished is kept in " + session.options.study.string() + " ("
            + std::to_string(calibration.inputs().size()) + " inputs of layers); the same command goes on from there");
    return tl::unexpected(kind.error());
}

Result<Outcome> calibrateModel(const Session& session, const CalibrateOptions& options, const Model& model)
{
    const auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    const auto windows = readWindows(session, model, options.text, options.window);
    if (!windows)
        return tl::unexpected(windows.error());
    CalibrationText text {.name = toValidUtf8(std::filesystem::path(options.text).filename().string()),
        .identity = identityOf(*windows),
        .tokens = tokensOf(*windows),
        .context = options.window.context,
        .moments = !options.noMoments};
    if (!session.options.study.empty())
        return calibrateIntoStudy(session, options, model, *decoder, *windows, text.name);
    auto calibration = runWithoutStudy(session, options, *decoder, *windows, std::move(text));
    if (!calibration)
        return tl::unexpected(calibration.error());
    return Outcome {std::move(*calibration), CalibrationRun::Kind::First, 0};
}

/// Null where there are none.
Json gradientsJson(const Outcome& outcome)
{
    const auto& gradients = outcome.calibration.gradients;
    if (gradients.empty())
        return nullptr;
    const auto& text = gradients.begin()->second->text;
    return {{"layers", gradients.size()}, {"gathered", outcome.gradientLayers}, {"text", text.name},
        {"predictions", text.predictions}, {"windows", text.windows}};
}

Result<void> calibrateText(const Session& session, const CalibrateOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    if (auto sensible = requireSomewhereToKeep(session, options); !sensible)
        return sensible;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto outcome = calibrateModel(session, options, **model);
    if (!outcome)
        return tl::unexpected(namedByOption(outcome.error(), options.text));
    const bool already = outcome->kind == CalibrationRun::Kind::AlreadyThere;
    if (already && outcome->gradientLayers == 0)
        session.warn("the study has learnt from this text before: nothing was added");
    if (!options.imatrix.empty())
        if (auto written = writeImportanceMatrix(options.imatrix, importanceOf(outcome->calibration, **model));
            !written)
            return written;
    auto findings = calibrationFindings(outcome->calibration, **model);
    static constexpr const char* kKinds[] = {"first", "added", "continued", "already_there"};
    findings.json["run"] = kKinds[static_cast<std::size_t>(outcome->kind)];
    findings.json["gradients"] = gradientsJson(*outcome);
    findings.json["imatrix"] = options.imatrix.empty() ? Json(nullptr) : Json(toValidUtf8(options.imatrix));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    return present(session, findings);
}

Action setUpCalibrate(CLI::App& command)
{
    auto options = std::make_shared<CalibrateOptions>();
    command.add_option("MODEL", options->model, "Checkpoint with its tokenizer")->required();
    command.add_option("--text", options->text, "Text to run on (UTF-8, or JSON lines with a member text)")
        ->type_name("FILE")
        ->required();
    addContextOption(command, options->window);
    command.add_option("--tokens", options->window.tokens, "Read no more than the text's first so many tokens")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {1}, std::size_t {1} << 40U));
    addMemoryOption(command, options->memory);
    command.add_option("--imatrix", options->imatrix, "Write llama.cpp's importance matrix (GGUF) too")
        ->type_name("FILE");
    command.add_flag("--fresh", options->fresh, "Forget what the study has learnt from texts before");
    command.add_flag("--no-moments", options->noMoments,
        "Leave out the second moments: less time, memory and disk, but no gptq, awq or cd afterwards");
    command.add_flag("--gradients", options->gradients,
        "Run the text's first windows backwards too: output gradients and the Fisher diagonal of the weights, by "
        "which\n"
        "'sensitivity' and 'allocate' predict the KL of any scheme (kfac, fisher)");
    command.add_option("--gradient-tokens", options->gradientTokens, "Take gradients of about so many tokens")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {2}, std::size_t {1} << 30U))
        ->default_str(std::to_string(quantloupe::gradientTokens));
    command.add_flag("--no-fisher", options->noFisher,
        "Of gradients leave out the Fisher diagonal: no metric fisher, but 4 bytes per weight less on disk");
    command.footer(
        "The text is read in windows that do not overlap, each begun with BOS where the model has one; what does\n"
        "not fill a window is left out. All windows go through a block before the next is read. With --study each\n"
        "finished input is kept at once; killed or stopped, the same command goes on from the last finished block.\n"
        "Another text adds to what the study knows. The large parts (second moments, a sample of the inputs) lie in\n"
        "a folder beside the study, STUDY.inputs, and belong to it.");
    return [options](Session& session) { return calibrateText(session, *options); };
}

}  // namespace

extern const Command calibrateCommand;
const Command calibrateCommand {"calibrate", "Runs the model on text and keeps what goes into each layer",
    StudyOption | OutOption | ThreadsOption, setUpCalibrate};

}  // namespace quantloupe::cli
