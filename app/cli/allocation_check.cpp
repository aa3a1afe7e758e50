// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/allocation_check.h"

#include "app/cli/inputs.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/layer_divergence.h"
#include "core/analysis/plan_divergence.h"
#include "core/study/known_inputs.h"

#include <algorithm>

namespace quantloupe::cli {
namespace {

Result<std::shared_ptr<const Model>> modelOf(
    const Session& session, const CheckOptions& options, const AllocationToCheck& toCheck)
{
    const auto model = openModelOf(session, *toCheck.study, options.model);
    if (!model)
        return tl::unexpected(model.error());
    return std::make_shared<const Model>(withKnownInputs(**model, toCheck.study, toCheck.studyPath));
}

MeasuredError errorOf(const VariantDivergence& found)
{
    return {found.divergence.mean, found.standardError};
}

/// Whether the divergences that sums are of are of this text; nothing where sums are of other figures.
std::optional<bool> sumsAreOf(const StudySnapshot& study, ErrorMetric metric, std::uint64_t fingerprint)
{
    if (metric != ErrorMetric::MeasuredKl && metric != ErrorMetric::OnePointKl)
        return std::nullopt;
    bool all = true;
    for (const auto& [tensor, measurements] : study.measurements)
        for (const auto& [scheme, measured] : *measurements)
            all = all && (!measured->divergence.known() || measured->divergence.text == fingerprint);
    return all;
}

std::string plusMinus(const MeasuredError& error)
{
    const auto value = Cell(error.value, 4).shown;
    return error.standardError > 0.0 ? value + " ± " + Cell(error.standardError, 2).shown : value;
}

}  // namespace

void addCheckOptions(CLI::App& command, CheckOptions& options)
{
    command
        .add_option("--text", options.text,
            "Text to measure the recipe's divergence on; where layers' divergences do not add up, recipes near it too")
        ->type_name("FILE");
    command.add_option("--model", options.model, "Where the model is, if not where the study found it")
        ->type_name("MODEL");
    command
        .add_option("--evaluations", options.evaluations,
            "Recipes to measure with --text, 1 for the allocated one alone (default: up to 32, where sums are off)")
        ->type_name("N")
        ->check(CLI::Range(std::size_t {1}, std::size_t {1'000'000}));
    addContextOption(command, options.window);
    command.add_option("--tokens", options.window.tokens, "No more than the first so many tokens of the text")
        ->type_name("N")
        ->default_str("8192");
    addMemoryOption(command, options.memory);
}

Result<AllocationCheck> checkAllocation(
    const Session& session, const CheckOptions& options, const AllocationToCheck& toCheck)
{
    const auto model = modelOf(session, options, toCheck);
    if (!model)
        return tl::unexpected(model.error());
    const auto decoder = describeDecoder(**model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    const auto text = readWindows(session, **model, options.text, options.window);
    if (!text)
        return tl::unexpected(namedByOption(text.error(), options.text));
    VerificationEffort effort {.onlyWhereItMatters = !options.evaluations};
    effort.evaluations = options.evaluations.value_or(effort.evaluations);
    const auto& study = *toCheck.study;
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    auto divergence = PlanDivergence::begin(
        *decoder, *text, effort.evaluations + 2, {session.threads(), options.memory}, session.stop, progress);
    if (!divergence)
        return tl::unexpected(namedByOption(divergence.error(), options.text));
    const auto measure = [&](const Recipe& recipe) -> Result<MeasuredError> {
        return divergence->measure(resolve(recipe, study.model)).map(errorOf);
    };
    auto verified = verifyAllocation(toCheck.frontier, study, toCheck.limit, toCheck.allocation, effort,
        [&](const std::vector<std::uint32_t>& choice) {
            return measure(recipeOf(toCheck.frontier.groups, choice, study, toCheck.base));
        });
    if (!verified)
        return tl::unexpected(verified.error());
    AllocationCheck check {.verified = std::move(*verified),
        .predictions = text->scored(),
        .sameText = sumsAreOf(study, toCheck.metric, fingerprintOf(*text))};
    if (const auto uniform = toCheck.rivalWithin(check.best().predicted.bytes)) {
        const auto rival = measure(*uniform);
        if (!rival)
            return tl::unexpected(rival.error());
        check.uniform = *rival;
    }
    if (toCheck.apart) {
        const auto apart = measure(*toCheck.apart);
        if (!apart)
            return tl::unexpected(apart.error());
        check.apart = *apart;
    }
    return check;
}

std::optional<std::string> brokenLimit(const AllocationCheck& check, const AllocationLimit& limit)
{
    if (limit.kind != AllocationLimit::Kind::TotalError || check.verified.met)
        return std::nullopt;
    const auto tried = check.verified.tried.size();
    const auto& best = check.best();
    return "no recipe that was measured keeps to " + Cell(limit.value, 4).shown + " nats per token: of "
        + std::to_string(tried) + ", the closest has KL " + plusMinus(best.measured) + " in "
        + std::to_string(best.predicted.bytes) + " bytes";
}

Json checkJson(const AllocationCheck& check)
{
    Json tried = Json::array();
    for (const auto& one : check.verified.tried)
        tried.push_back({{"bytes", one.predicted.bytes}, {"bits_per_weight", number(one.predicted.bitsPerWeight)},
            {"predicted", number(one.predicted.error)}, {"measured", number(one.measured.value)},
            {"standard_error", number(one.measured.standardError)}});
    const auto& best = check.best();
    return {{"metric", "kl_mean"}, {"value", number(best.measured.value)},
        {"standard_error", number(best.measured.standardError)}, {"predicted", number(best.predicted.error)},
        {"predictions", check.predictions},
        {"text_of_prediction", check.sameText ? Json(*check.sameText) : Json(nullptr)},
        {"within_limit", check.verified.met}, {"improved", check.verified.best != 0}, {"tried", std::move(tried)}};
}

std::string checkText(const AllocationCheck& check, const AllocationLimit& limit, ErrorMetric metric)
{
    const auto& first = check.first();
    std::string text = "Measured on " + std::to_string(check.predictions) + " predictions, weights alone: KL "
        + plusMinus(first.measured) + " nats per token";
    if (predictsKl(metric) && first.predicted.error > 0.0)
        text += ", " + Cell(first.measured.value / first.predicted.error, 3).shown + " × the predicted "
            + Cell(first.predicted.error, 4).shown;
    if (check.uniform)
        text += "; the uniform scheme has " + plusMinus(*check.uniform);
    text += "\n";
    if (check.sameText == false)
        text += "The layers' divergences are of another text.\n";
    const auto tried = check.verified.tried.size();
    if (tried > 1) {
        text += std::to_string(tried) + " recipes were measured; ";
        if (check.verified.best == 0)
            text += "none of the others is better\n";
        else
            text += "the best has KL " + plusMinus(check.best().measured) + " in "
                + std::to_string(check.best().predicted.bytes) + " bytes and is the one shown\n";
    }
    if (const auto broken = brokenLimit(check, limit))
        text += "Warning: " + *broken + "\n";
    return text;
}

}  // namespace quantloupe::cli
