// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/integer_layers.h"
#include "core/analysis/quantized_weights.h"
#include "core/inference/evaluate.h"
#include "core/recipes/plan.h"
#include "core/tokenizers/text_source.h"
#include "core/tokenizers/tokenizer.h"

#include <chrono>

namespace quantloupe::cli {
namespace {

struct EvaluateOptions {
    std::string model, text;
    RecipeChoice recipe;
    std::size_t context = 512;
    std::optional<std::size_t> stride;
    std::uint64_t memory = EvaluationLimits().memory;
    bool integer = false, integerFunctions = false;
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

/// Wishes that cannot be met are named by the option that made them.
Error namedByOption(Error error, const EvaluateOptions& options)
{
    if (error.code != ErrorCode::InvalidArgument)
        return error;
    if (error.where == "text")
        error.where = "--text " + options.text;
    else if (error.where == "context" || error.where == "stride" || error.where == "memory")
        error.where = "--" + error.where;
    return error;
}

Result<WindowedText> readText(const Model& model, const EvaluateOptions& options)
{
    const auto tokenizer = openTokenizer(model);
    if (!tokenizer)
        return tl::unexpected(tokenizer.error());
    const auto text = readTextSource(options.text);
    if (!text)
        return tl::unexpected(text.error());
    std::vector<std::uint32_t> tokens;
    for (const auto& document : text->documents) {
        const auto own = (*tokenizer)->encode(document, true);
        tokens.insert(tokens.end(), own.begin(), own.end());
    }
    tokens.resize(tokens.size() - (*tokenizer)->suffix().size());  // the text goes on beyond every window
    const auto prefix = (*tokenizer)->prefix();
    return cutWindows(std::move(tokens), prefix.empty() ? std::nullopt : std::optional(prefix.front()), options.context,
        options.stride);
}

/// What the recipe comes to; nothing without one.
struct Quantized {
    std::optional<Plan> plan {};
    WeightHook weights {};
    std::optional<IntegerPlan> integers {};
};

/// The layers that can be, in integers; the others as they are without --integer.
Result<Quantized> computeInIntegers(const Session& session, const Model& model, Plan plan)
{
    const auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    Quantized quantized {.plan = std::move(plan)};
    quantized.integers = planIntegers(*decoder, *quantized.plan);
    const auto& integers = *quantized.integers;
    if (integers.integers.empty())
        return failure(ErrorCode::InvalidArgument, "--integer",
            integers.floating.empty() ? "no layer has quantized inputs: give activations, as int8:channel/int8:token"
                                      : model.tensors[integers.floating.front().tensor].name
                    + " cannot be computed in integers: " + integers.floating.front().reason);
    auto others = quantizedWeights(model, integers.rest, session.stop);
    if (!others)
        return tl::unexpected(others.error());
    quantized.weights = integerWeights(model, integers, std::move(*others), session.stop);
    return quantized;
}

Result<Quantized> quantizeBy(const Session& session, const EvaluateOptions& options, const Model& model)
{
    const auto catalog = catalogOf(model);
    const auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());
    if (!*recipe && options.integer)
        return failure(ErrorCode::InvalidArgument, "--integer",
            "needs a recipe whose layers have activations, as int8:channel/int8:token");
    if (!*recipe)
        return Quantized();
    if ((*recipe)->keyValueCache)
        return failure(ErrorCode::Unsupported, "recipe", "quantized KV caches are not built yet");
    auto plan = resolve(**recipe, catalog);
    if (options.integer)
        return computeInIntegers(session, model, std::move(plan));
    auto weights = quantizedWeights(model, plan, session.stop);
    if (!weights)
        return tl::unexpected(weights.error());
    return Quantized {.plan = std::move(plan), .weights = std::move(*weights)};
}

Json intervalJson(const Perplexity& perplexity)
{
    return Json::array({number(perplexity.low), number(perplexity.high)});
}

Findings evaluationFindings(const EvaluateOptions& options, const Evaluation& evaluation, const Quantized& made)
{
    const auto& plan = made.plan;
    const auto& quantized = evaluation.quantized ? *evaluation.quantized : evaluation.base;
    Findings findings;
    findings.json = {
        {"tokens", evaluation.tokens},
        {"context", options.context},
        {"stride", orNull(options.stride)},
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
    findings.json["integer_layers"] = made.integers ? Json(made.integers->integers.size()) : Json(nullptr);
    findings.text = findings.table.text() + "\n" + std::to_string(evaluation.scored) + " predictions in "
        + std::to_string(evaluation.windows) + " windows of " + std::to_string(options.context)
        + " tokens; low and high: 95 % interval\n";
    if (made.integers)
        findings.text += std::to_string(made.integers->integers.size()) + " layers computed in integers, "
            + std::to_string(made.integers->floating.size()) + " others with quantized inputs in float32\n";
    return findings;
}

Result<Evaluation> evaluateModel(
    const Session& session, const EvaluateOptions& options, const Model& model, const WeightHook& weights)
{
    auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    setIntegerFunctions(*decoder, options.integerFunctions);
    const auto text = readText(model, options);
    if (!text)
        return tl::unexpected(text.error());
    if (model.config.contextLength && options.context > *model.config.contextLength)
        session.warn("windows of " + std::to_string(options.context) + " tokens are longer than the "
            + std::to_string(*model.config.contextLength) + " the model was made for");
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    return evaluate(*decoder, *text, weights, {session.threads(), options.memory}, session.stop, progress);
}

Result<void> evaluateText(const Session& session, const EvaluateOptions& options)
{
    const auto start = std::chrono::steady_clock::now();
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto quantized = quantizeBy(session, options, **model);
    if (!quantized)
        return tl::unexpected(quantized.error());
    const auto evaluation = evaluateModel(session, options, **model, quantized->weights);
    if (!evaluation)
        return tl::unexpected(namedByOption(evaluation.error(), options));
    auto findings = evaluationFindings(options, *evaluation, *quantized);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    findings.json["elapsed_s"] = elapsed.count();
    findings.json["threads"] = session.threads();
    return present(session, findings);
}

Action setUpEvaluate(CLI::App& command)
{
    auto options = std::make_shared<EvaluateOptions>();
    command.add_option("MODEL", options->model, "Checkpoint with its tokenizer")->required();
    command.add_option("--text", options->text, "Text to predict (UTF-8)")->type_name("FILE")->required();
    addRecipeOptions(command, options->recipe);
    command.add_flag("--integer", options->integer, "Compute W8A8, W4A8 and narrower layers in integers");
    command.add_flag(
        "--integer-functions", options->integerFunctions, "Approximate softmax and norms in integers, as I-BERT does");
    command.add_option("--context", options->context, "Tokens in a window")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {3}, std::size_t {10'000'000}))
        ->capture_default_str();
    command.add_option("--stride", options->stride, "Windows begin so far apart, and each scores what is new in it")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {1}, std::size_t {10'000'000}));
    command.add_option("--memory", options->memory, "Memory for weights and activations, such as 4GiB")
        ->type_name("SIZE")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("4GiB");
    command.footer(
        "Without --stride the text is read in windows that do not overlap, each begun with BOS where the model has\n"
        "one, and the second half of each is scored, as llama.cpp's perplexity program does. The model as stored\n"
        "and the one with quantized weights are run side by side, block by block; the weights are computed with\n"
        "in float32. Where all windows do not fit the memory, the checkpoint is read several times.");
    return [options](Session& session) { return evaluateText(session, *options); };
}

}  // namespace

extern const Command evaluateCommand;
const Command evaluateCommand {"evaluate", "Perplexity of a text, and how far a quantized model's predictions are off",
    StudyOption | OutOption | ThreadsOption, setUpEvaluate};

}  // namespace quantloupe::cli
