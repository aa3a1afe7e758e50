// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/evaluated_model.h"
#include "app/cli/importance_option.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"
#include "app/cli/text_input.h"

#include "core/inference/evaluate.h"
#include "core/recipes/plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

namespace quantloupe::cli {
namespace {

struct EvaluateOptions {
    std::string model, text, imatrix;
    EvaluatedOptions quantized;
    TextWindows window;
    bool depth = false, integerFunctions = false;
    std::uint64_t memory = EvaluationLimits().memory;
};

/// One figure of the result: its key, its title, and its value.
struct DivergenceFigure {
    const char* key;
    const char* title;
    double value;
};

std::vector<DivergenceFigure> divergenceFigures(const Divergence& divergence)
{
    return {{"kl_mean", "KL divergence, mean", divergence.mean},
        {"kl_median", "KL divergence, median", divergence.median}, {"kl_p90", "KL divergence, 90 %", divergence.p90},
        {"kl_p95", "KL divergence, 95 %", divergence.p95}, {"kl_p99", "KL divergence, 99 %", divergence.p99},
        {"kl_p99_9", "KL divergence, 99.9 %", divergence.p999}, {"kl_max", "KL divergence, largest", divergence.max},
        {"top1_agreement", "same likeliest token, share", divergence.topAgreement},
        {"probability_change_mean", "right token's probability, mean change", divergence.probabilityChangeMean},
        {"probability_change_rms", "right token's probability, RMS change", divergence.probabilityChangeRms}};
}

/// Schemes and of how many tensors they are, most of them first.
Json countedSchemes(const Plan& plan, std::optional<Scheme> PlannedTensor::*part)
{
    std::map<std::string, std::size_t> counts;
    for (const auto& planned : plan.tensors)
        if (const auto& scheme = planned.*part)
            ++counts[scheme->toString()];
    std::vector<std::pair<std::string, std::size_t>> ordered(counts.begin(), counts.end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    auto json = Json::array();
    for (const auto& [scheme, tensors] : ordered)
        json.push_back({{"scheme", scheme}, {"tensors", tensors}});
    return json;
}

Json quantizedJson(const Quantized& quantized)
{
    if (!quantized.plan)
        return nullptr;
    const auto& cache = quantized.keyValueCache;
    return {{"weights", countedSchemes(*quantized.plan, &PlannedTensor::scheme)},
        {"activations", countedSchemes(*quantized.plan, &PlannedTensor::activations)},
        {"kv_cache", cache ? Json(cache->toString()) : Json(nullptr)},
        {"injected", quantized.injected.empty() ? Json(nullptr) : Json(quantized.injected)}};
}

/// Error behind the embedding and behind each block, null where there is none.
Json depthJson(const Evaluation& evaluation)
{
    if (evaluation.depth.empty())
        return nullptr;
    auto json = Json::array();
    for (std::size_t i = 0; i < evaluation.depth.size(); ++i)
        json.push_back(
            {{"block", i == 0 ? Json(nullptr) : Json(i - 1)}, {"sqnr_db", number(evaluation.depth[i].sqnr())}});
    return json;
}

TextTable depthTable(const Evaluation& evaluation)
{
    TextTable table({"residual stream behind", "SQNR, dB"});
    for (std::size_t i = 0; i < evaluation.depth.size(); ++i) {
        const double sqnr = evaluation.depth[i].sqnr();
        table.add({i == 0 ? std::string("embedding") : "block " + std::to_string(i - 1),
            std::isfinite(sqnr) ? Cell(sqnr, 4) : Cell("no error")});
    }
    return table;
}

/// Norms that divide by SmoothQuant's factors, and with which strength; null where there are none.
Json smoothedJson(const Quantized& quantized, const Model& model)
{
    if (quantized.smoothed.empty())
        return nullptr;
    auto json = Json::array();
    for (const auto& [norm, alpha] : quantized.smoothed)
        json.push_back({{"norm", model.tensors[norm].name}, {"alpha", number(alpha)}});
    return json;
}

TextTable smoothedTable(const Quantized& quantized, const Model& model)
{
    TextTable table({"norm that divides", "alpha"});
    for (const auto& [norm, alpha] : quantized.smoothed)
        table.add({printable(model.tensors[norm].name), Cell(alpha, 3)});
    return table;
}

Json intervalJson(const Perplexity& perplexity)
{
    return Json::array({number(perplexity.low), number(perplexity.high)});
}

Findings evaluationFindings(const EvaluateOptions& options, const Evaluation& evaluation, const Quantized& what)
{
    const auto& quantized = evaluation.quantized ? *evaluation.quantized : evaluation.base;
    // Of one injected error the plan's size says nothing.
    const auto plan = what.injected.empty() ? what.plan : std::nullopt;
    Findings findings;
    findings.json = {
        {"tokens", evaluation.tokens},
        {"context", options.window.context},
        {"stride", orNull(options.window.stride)},
        {"batch", options.window.batch},
        {"windows", evaluation.windows},
        {"scored_tokens", evaluation.scored},
        {"perplexity", number(quantized.value)},
        {"perplexity_base", number(evaluation.base.value)},
        {"perplexity_ci95", intervalJson(quantized)},
        {"perplexity_base_ci95", intervalJson(evaluation.base)},
    };
    findings.table = TextTable({"figure", "value", "low", "high"});
    findings.table.add({"perplexity, as stored", Cell(evaluation.base.value, 6), Cell(evaluation.base.low, 6),
        Cell(evaluation.base.high, 6)});
    if (evaluation.quantized)
        findings.table.add(
            {"perplexity, quantized", Cell(quantized.value, 6), Cell(quantized.low, 6), Cell(quantized.high, 6)});
    for (const auto& figure : divergenceFigures(evaluation.divergence.value_or(Divergence()))) {
        findings.json[figure.key] = evaluation.divergence ? number(figure.value) : Json(nullptr);
        if (evaluation.divergence)
            findings.table.add({figure.title, Cell(figure.value, 5), "", ""});
    }
    findings.json["bytes"] = plan ? Json(plan->bytes) : Json(nullptr);
    findings.json["bits_per_weight"] = plan ? number(plan->bitsPerWeight) : Json(nullptr);
    findings.json["integer_layers"] = what.integers ? Json(what.integers->integers.size()) : Json(nullptr);
    findings.json["quantized"] = quantizedJson(what);
    findings.json["depth"] = depthJson(evaluation);
    findings.text = findings.table.text() + "\n";
    if (options.depth && !evaluation.depth.empty())
        findings.text += depthTable(evaluation).text() + "\n";
    findings.text += std::to_string(evaluation.scored) + " predictions in " + std::to_string(evaluation.windows)
        + " windows of " + std::to_string(options.window.context) + " tokens; low and high: 95 % interval\n";
    if (what.integers)
        findings.text += std::to_string(what.integers->integers.size()) + " layers computed in integers, "
            + std::to_string(what.integers->floating.size()) + " others with quantized inputs in float32\n";
    return findings;
}

Result<Evaluation> evaluateModel(
    const Session& session, const EvaluateOptions& options, const Model& model, const ForwardHooks& hooks)
{
    auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    setIntegerFunctions(*decoder, options.integerFunctions);
    const auto text = readWindows(session, model, options.text, options.window);
    if (!text)
        return tl::unexpected(text.error());
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    return evaluate(*decoder, *text, hooks, {session.threads(), options.memory}, session.stop, progress);
}

Result<void> evaluateText(const Session& session, const EvaluateOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto known = openCalibratedModel(session, options.model);
    if (!known)
        return tl::unexpected(known.error());
    const auto weighed = weighModel(session, options.imatrix, known->model);
    if (!weighed)
        return tl::unexpected(weighed.error());
    for (const auto& warning : weighed->warnings)
        session.warn(printable(warning));
    const auto& model = *weighed->model;
    const auto quantized = quantizeBy(session, options.quantized, model, known->calibration);
    if (!quantized)
        return tl::unexpected(quantized.error());
    const auto evaluation = evaluateModel(session, options, model, quantized->hooks);
    if (!evaluation)
        return tl::unexpected(namedByOption(evaluation.error(), options.text));
    auto findings = evaluationFindings(options, *evaluation, *quantized);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["imatrix"] = weighed->imatrix;
    findings.json["smoothing"] = smoothedJson(*quantized, model);
    if (!quantized->smoothed.empty())
        findings.text += "\n" + smoothedTable(*quantized, model).text();
    findings.json["threads"] = session.threads();
    return present(session, findings);
}

Action setUpEvaluate(CLI::App& command)
{
    auto options = std::make_shared<EvaluateOptions>();
    command.add_option("MODEL", options->model, "Checkpoint with its tokenizer")->required();
    command.add_option("--text", options->text, "Text to predict (UTF-8)")->type_name("FILE")->required();
    addEvaluatedOptions(command, options->quantized);
    addImportanceOption(command, options->imatrix);
    command.add_flag(
        "--integer-functions", options->integerFunctions, "Approximate softmax and norms in integers, as I-BERT does");
    command.add_flag("--depth", options->depth, "Also print how the error grows or dies from block to block");
    addContextOption(command, options->window);
    command
        .add_option("--stride", options->window.stride, "Windows begin so far apart, and each scores what is new in it")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {1}, std::size_t {10'000'000}));
    command
        .add_option("--batch", options->window.batch,
            "Windows that a runtime computes in one call: what dynamic activations per tensor have in common")
        ->type_name("N")
        ->check(CLI::Range(std::size_t {1}, std::size_t {1'000'000}))
        ->capture_default_str();
    addMemoryOption(command, options->memory);
    command.footer(
        "Without --stride the text is read in windows that do not overlap, each begun with BOS where the model has\n"
        "one, and the second half of each is scored, as llama.cpp's perplexity program does. The model as stored\n"
        "and the quantized one are run side by side, block by block; what was quantized is computed with in\n"
        "float32. Where all windows do not fit the memory, the checkpoint is read several times.\n\n"
        "Activations, int8:channel/int8:token: token takes one scale per token, gN one per N channels of a token,\n"
        "tensor one for everything that enters a layer in one call (--batch windows). A cache takes one scale per\n"
        "token and head, or per N numbers of a head with gN.");
    return [options](Session& session) { return evaluateText(session, *options); };
}

}  // namespace

extern const Command evaluateCommand;
const Command evaluateCommand {"evaluate", "Perplexity of a text, and how far a quantized model's predictions are off",
    StudyOption | OutOption | ThreadsOption, setUpEvaluate};

}  // namespace quantloupe::cli
