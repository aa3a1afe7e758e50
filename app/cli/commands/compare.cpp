// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace quantloupe::cli {
namespace {

struct CompareOptions {
    std::string study, first, second, model, metric;
    bool all = false;
};

/// One side, and what its audit says of the weights themselves.
struct Side {
    ComparedSide compared;
    std::vector<double> energy {};
};

/// What the names of sides are looked up in.
struct LookUp {
    const Session& session;
    const CompareOptions& options;
    const StudySnapshot& study;
    ErrorMetric metric;
};

Result<Side> recipeSide(const LookUp& lookUp, const Recipe& recipe, const StudySnapshot& study, const std::string& name)
{
    return Side {comparedRecipe(recipe, lookUp.study.model, study, lookUp.metric, name)};
}

/// Another study of the same model, or this one: by its recipe.
Result<Side> studySide(const LookUp& lookUp, const StudySnapshot& study, const std::string& name)
{
    if (study.model.fingerprint != lookUp.study.model.fingerprint)
        return failure(ErrorCode::Conflict, name, "is a study of another model");
    if (!study.recipe)
        return failure(ErrorCode::InvalidArgument, name, "holds no recipe: name a recipe file or a scheme instead");
    return recipeSide(lookUp, *study.recipe, study, name);
}

Result<Side> checkpointSide(const LookUp& lookUp, const std::string& name)
{
    const auto original = openModelOf(lookUp.session, lookUp.study, lookUp.options.model);
    if (!original)
        return tl::unexpected(original.error());
    const auto checkpoint = openNamedModel(lookUp.session, name);
    if (!checkpoint)
        return tl::unexpected(checkpoint.error());
    Progress progress;
    const ProgressPrinter printer(progress, lookUp.session.options.quiet);
    const auto found = audit(**original, **checkpoint,
        {.threads = lookUp.session.threads(), .compareWithSchemes = false}, lookUp.session.stop, progress);
    if (!found)
        return tl::unexpected(found.error());
    return Side {comparedCheckpoint(*found, lookUp.study.model, name), auditedEnergy(*found, lookUp.study.model)};
}

/// A scheme for everything that the study's recipe does not keep.
Result<Side> schemeSide(const LookUp& lookUp, const LayerPlan& plan, const std::string& name)
{
    auto recipe = Recipe::uniform(plan.weights, lookUp.study.model);
    recipe.activations = plan.activations;
    if (lookUp.study.recipe)
        recipe.keep = lookUp.study.recipe->keep;
    return recipeSide(lookUp, recipe, lookUp.study, name);
}

/// A or B: "recipe", a scheme, a recipe file, a study, or a checkpoint.
Result<Side> sideNamed(const LookUp& lookUp, const std::string& name)
{
    if (name == "recipe")
        return studySide(lookUp, lookUp.study, lookUp.options.study);
    std::error_code ignored;
    if (!std::filesystem::exists(name, ignored)) {
        const auto plan = LayerPlan::parse(name);
        if (plan)
            return schemeSide(lookUp, *plan, plan->toString());
        return usageError(name, "is neither a file nor a scheme (" + plan.error().reason + ")");
    }
    if (name.ends_with(".h5")) {
        const auto study = Study::read(name);
        if (study)
            return studySide(lookUp, **study, name);
        return tl::unexpected(study.error());
    }
    if (name.ends_with(".json") && !name.ends_with(".index.json")) {
        const auto recipe = loadRecipe(name);
        if (recipe)
            return recipeSide(lookUp, *recipe, lookUp.study, name);
        return tl::unexpected(recipe.error());
    }
    return checkpointSide(lookUp, name);
}

std::string shownScheme(const ComparedTensor& tensor)
{
    if (!tensor.present)
        return "not there";
    return tensor.scheme.empty() ? "as stored" : tensor.scheme;
}

Json tensorJson(const ComparedTensor& tensor, double sqnr)
{
    return {{"scheme", tensor.scheme.empty() ? Json(nullptr) : Json(tensor.scheme)}, {"present", tensor.present},
        {"bytes", tensor.bytes}, {"sqnr_db", number(sqnr)}, {"max_abs_error", number(tensor.maxAbsError)},
        {"value", number(tensor.value)}};
}

Json totalsJson(const Comparison& comparison, std::size_t side)
{
    const auto& totals = comparison.totals[side];
    return {{"name", comparison.sides[side].name}, {"bytes", totals.bytes},
        {"bits_per_weight", number(totals.bitsPerWeight)}, {"sqnr_db", number(totals.sqnrDb())},
        {"relative_error", number(totals.relativeError())}, {"value", number(totals.value)},
        {"not_measured", totals.unknown}, {"missing", totals.missing}, {"extra", comparison.sides[side].extra}};
}

Json comparisonJson(const Comparison& comparison, const ModelCatalog& model, const std::vector<std::size_t>& shown)
{
    Json tensors = Json::array();
    for (const auto i : shown)
        tensors.push_back({{"tensor", model.tensors[i].name},
            {"different", std::binary_search(comparison.different.begin(), comparison.different.end(), i)},
            {"a", tensorJson(comparison.sides[0].tensors[i], comparison.sqnrDb(0, i))},
            {"b", tensorJson(comparison.sides[1].tensors[i], comparison.sqnrDb(1, i))}});
    return {{"metric", nameOf(comparison.metric)}, {"a", totalsJson(comparison, 0)}, {"b", totalsJson(comparison, 1)},
        {"different", comparison.different.size()}, {"tensors", std::move(tensors)}};
}

TextTable tensorTable(const Comparison& comparison, const ModelCatalog& model, const std::vector<std::size_t>& shown)
{
    const auto metric = std::string(nameOf(comparison.metric));
    TextTable table({"tensor", "A", "B", "bytes A", "bytes B", "SQNR dB A", "SQNR dB B", metric + " A", metric + " B"});
    for (const auto i : shown) {
        const auto &a = comparison.sides[0].tensors[i], &b = comparison.sides[1].tensors[i];
        table.add({printable(model.tensors[i].name), shownScheme(a), shownScheme(b), a.bytes, b.bytes,
            comparison.sqnrDb(0, i), comparison.sqnrDb(1, i), {a.value, 4}, {b.value, 4}});
    }
    return table;
}

std::string totalsText(const Comparison& comparison)
{
    TextTable table(
        {"", "bytes", "bits per weight", "SQNR dB", "relative error", std::string(nameOf(comparison.metric))});
    constexpr std::array letters {"A", "B"};
    for (std::size_t side = 0; side < 2; ++side) {
        const auto& totals = comparison.totals[side];
        table.add({letters[side] + (": " + printable(comparison.sides[side].name)), totals.bytes, totals.bitsPerWeight,
            totals.sqnrDb(), totals.relativeError(), {totals.value, 4}});
    }
    auto text = table.text();
    for (std::size_t side = 0; side < 2; ++side) {
        const auto& totals = comparison.totals[side];
        if (totals.unknown > 0)
            text += std::to_string(totals.unknown) + " tensors were not measured under the scheme of " + letters[side]
                + ": 'analyze' them into the study\n";
        if (totals.missing > 0)
            text += std::to_string(totals.missing) + " tensors are not in " + letters[side] + "\n";
    }
    return text;
}

Result<ErrorMetric> metricOf(const CompareOptions& options, const StudySnapshot& study)
{
    if (options.metric.empty())
        return bestMetric(study);
    if (const auto metric = metricNamed(options.metric))
        return *metric;
    std::string names;
    for (const auto one : allErrorMetrics())
        names.append(names.empty() ? "" : ", ").append(nameOf(one));
    return usageError("--metric " + options.metric, "no such metric; there are " + names);
}

Result<void> compare(const Session& session, const CompareOptions& options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto study = Study::read(options.study);
    if (!study)
        return tl::unexpected(study.error());
    const auto metric = metricOf(options, **study);
    if (!metric)
        return tl::unexpected(metric.error());
    const LookUp lookUp {session, options, **study, *metric};
    auto first = sideNamed(lookUp, options.first);
    if (!first)
        return tl::unexpected(first.error());
    auto second = sideNamed(lookUp, options.second);
    if (!second)
        return tl::unexpected(second.error());
    const auto& model = (*study)->model;
    const auto& energy = first->energy.empty() ? second->energy : first->energy;
    const auto comparison =
        compareSides(model, **study, *metric, std::move(first->compared), std::move(second->compared), energy);
    std::vector<std::size_t> shown;
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (session.wants(model.tensors[i].name)
            && (options.all || std::binary_search(comparison.different.begin(), comparison.different.end(), i)))
            shown.push_back(i);
    Findings findings {
        .json = comparisonJson(comparison, model, shown), .text = {}, .table = tensorTable(comparison, model, shown)};
    findings.text =
        (shown.empty() ? std::string("No tensor differs.\n") : findings.table.text()) + "\n" + totalsText(comparison);
    return present(session, findings);
}

Action setUpCompare(CLI::App& command)
{
    auto options = std::make_shared<CompareOptions>();
    command.add_option("STUDY", options->study, "Study whose measurements are compared")->required();
    const char* what = "Scheme, recipe file (*.recipe.json), 'recipe' (the study's), study (*.h5) or checkpoint";
    command.add_option("A", options->first, what)->required();
    command.add_option("B", options->second, what)->required();
    command.add_option("--metric", options->metric, "What 'value' is (default: the best that the study knows)")
        ->type_name("METRIC");
    command
        .add_option("--model", options->model, "Where the model is, for checkpoints, if not where the study found it")
        ->type_name("MODEL");
    command.add_flag("--all", options->all, "List tensors that do not differ, too");
    command.footer(
        "Recipes and schemes are compared by what the study measured: schemes that were not are said. Another study\n"
        "of the same model stands for its recipe, with its own measurements. A scheme leaves as stored what the\n"
        "study's recipe keeps. A checkpoint is read beside the model, as 'audit' does.");
    return [options](Session& session) { return compare(session, *options); };
}

}  // namespace

extern const Command compareCommand;
const Command compareCommand {"compare", "Two recipes, studies or checkpoints side by side",
    OutOption | TensorsOption | ThreadsOption, setUpCompare};

}  // namespace quantloupe::cli
