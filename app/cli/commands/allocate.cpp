// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/allocation_budget.h"
#include "app/cli/allocation_check.h"

#include "core/allocation/allocation.h"
#include "core/base/atomic_file.h"
#include "core/report/trade_off.h"

#include <algorithm>
#include <cmath>

namespace quantloupe::cli {
namespace {

struct AllocateOptions {
    std::string study, metric, recipeOut;
    std::vector<std::string> schemes, keep;
    BudgetOptions budget;
    CheckOptions check;
    bool apart = false;

    Fused fused() const { return apart ? Fused::Apart : Fused::Together; }
};

std::vector<std::string> namesOf(const AllocationGroup& group, const StudySnapshot& study)
{
    std::vector<std::string> names;
    for (const auto tensor : group.tensors)
        names.push_back(study.model.tensors[tensor].name);
    return names;
}

std::string namesOf(const std::vector<ErrorMetric>& metrics)
{
    std::string names;
    for (const auto metric : metrics)
        if (addsUp(metric))
            names.append(names.empty() ? "" : ", ").append(nameOf(metric));
    return names.empty() ? "none" : names;
}

/// --metric, else --max-kl's, else the best that the study knows.
Result<ErrorMetric> metricOf(const AllocateOptions& options, const StudySnapshot& study)
{
    const auto known = knownMetrics(study);
    auto metric = bestMetric(study);
    if (options.budget.maxKl)
        for (const auto kl : {ErrorMetric::MeasuredKl, ErrorMetric::Kfac, ErrorMetric::OnePointKl, ErrorMetric::Fisher})
            if (!predictsKl(metric) && std::find(known.begin(), known.end(), kl) != known.end())
                metric = kl;
    if (!options.metric.empty()) {
        const auto named = metricNamed(options.metric);
        if (!named || !addsUp(*named) || std::find(known.begin(), known.end(), *named) == known.end())
            return usageError("--metric " + options.metric, "the study can be allocated by " + namesOf(known));
        metric = *named;
    }
    if (options.budget.maxKl && !predictsKl(metric))
        return failure(ErrorCode::InvalidArgument, options.study,
            "holds no divergences for --max-kl to limit: run 'sensitivity' with a text first");
    return metric;
}

Json pointJson(const FrontierPoint& point)
{
    return {{"bytes", point.bytes}, {"bits_per_weight", number(point.bitsPerWeight)}, {"value", number(point.error)}};
}

/// The uniform recipe of least error that is no larger; absent where none fits.
std::optional<TradeOffPoint> bestUniform(const std::vector<TradeOffPoint>& points, std::uint64_t bytes)
{
    std::optional<TradeOffPoint> best;
    for (const auto& point : points)
        if (point.bytes <= bytes && std::isfinite(point.error) && (!best || point.error < best->error))
            best = point;
    return best;
}

struct Decision {
    ErrorMetric metric = ErrorMetric::ModelError;
    Budget budget {};
    Recipe base {};  ///< what is not decided
    Frontier frontier {};
    Allocation allocation {};  ///< the best that was measured, where a text was given
    std::optional<TradeOffPoint> uniform {};
    std::optional<AllocationCheck> check {};
    /// The best within the same budget whose fused tensors may differ; absent where none are kept together.
    std::optional<FrontierPoint> apart {};
    std::optional<Recipe> apartRecipe {};

    /// The sum cannot prefer what shares schemes to what need not, within the same size or time; measured, it was.
    bool sharingContradictsTheSum() const
    {
        return check && check->apart && budget.limit.kind != AllocationLimit::Kind::TotalError
            && check->first().measured.value < check->apart->value;
    }
    std::optional<std::string> warning() const { return check ? brokenLimit(*check, budget.limit) : std::nullopt; }
    Recipe recipe(const StudySnapshot& study) const
    {
        return recipeOf(frontier.groups, allocation.choice, study, base);
    }
};

/// All that was measured is decided on, but for what the study's own recipe or the user keeps.
Recipe baseOf(const AllocateOptions& options, const StudySnapshot& study)
{
    auto base = study.recipe.value_or(Recipe::uniform(Scheme {}, study.model));
    if (!study.recipe)
        base.keep.clear();
    base.keep.insert(base.keep.end(), options.keep.begin(), options.keep.end());
    return base;
}

/// What tensors that are kept together would become if each chose for itself.
Result<void> decideApart(const AllocateOptions& options, const StudySnapshot& study, Decision& decision)
{
    const auto& groups = decision.frontier.groups;
    if (std::none_of(groups.begin(), groups.end(), [](const auto& group) { return group.tensors.size() > 1; }))
        return {};
    const auto found = frontier(study, options.schemes, decision.base.keep, decision.metric, Fused::Apart);
    if (!found)
        return tl::unexpected(found.error());
    const auto allocation = allocateWithin(*found, study, decision.budget.limit);
    if (!allocation)
        return tl::unexpected(allocation.error());
    decision.apart = allocation->point;
    decision.apartRecipe = recipeOf(found->groups, allocation->choice, study, decision.base);
    return {};
}

Result<Decision> decideOn(const Session& session, const AllocateOptions& options, const StudySnapshot& study)
{
    Decision decision;
    decision.base = baseOf(options, study);
    auto budget = budgetOf(session, options.budget, study.model, decision.base);
    if (!budget)
        return tl::unexpected(budget.error());
    decision.budget = std::move(*budget);
    const auto metric = metricOf(options, study);
    if (!metric)
        return tl::unexpected(metric.error());
    decision.metric = *metric;
    auto found = frontier(study, options.schemes, decision.base.keep, *metric, options.fused());
    if (!found)
        return tl::unexpected(found.error());
    decision.frontier = std::move(*found);
    auto allocation = allocateWithin(decision.frontier, study, decision.budget.limit);
    if (!allocation) {
        allocation.error().where = decision.budget.option;
        return tl::unexpected(allocation.error());
    }
    decision.allocation = std::move(*allocation);
    decision.uniform = bestUniform(uniformPoints(study, decision.base.keep, *metric), decision.allocation.point.bytes);
    if (auto apart = decideApart(options, study, decision); !apart)
        return tl::unexpected(apart.error());
    return decision;
}

/// The recipe as measured, or a better one; its rival is one of its own size.
Result<void> check(
    const Session& session, const AllocateOptions& options, const StudyPointer& study, Decision& decision)
{
    const auto points = uniformPoints(*study, decision.base.keep, decision.metric);
    const auto rivalWithin = [&](std::uint64_t bytes) -> std::optional<Recipe> {
        decision.uniform = bestUniform(points, bytes);
        if (!decision.uniform)
            return std::nullopt;
        auto uniform = Recipe::uniform(Scheme::parse(decision.uniform->label).value(), study->model);
        uniform.keep = decision.base.keep;
        return uniform;
    };
    auto checked = checkAllocation(session, options.check,
        {options.study, study, decision.frontier, decision.budget.limit, decision.allocation, decision.base,
            decision.metric, rivalWithin, decision.apartRecipe});
    if (!checked)
        return tl::unexpected(checked.error());
    const auto& best = checked->best();
    if (best.choice != decision.allocation.choice)
        decision.allocation.optimal = false;  // of the sum
    decision.allocation.choice = best.choice;
    decision.allocation.point = best.predicted;
    decision.check = std::move(*checked);
    return {};
}

/// The recipe on the device it is meant for.
std::optional<Projection> projectionOf(const Decision& decision, const StudySnapshot& study)
{
    const auto& device = decision.budget.wanted.device;
    if (!device)
        return std::nullopt;
    return project(study.model, resolve(decision.recipe(study), study.model), *device, decision.budget.wanted.workload);
}

/// Of one step, which makes a token of each sequence.
double stepMilliseconds(const Projection& projection, const Workload& workload)
{
    return 1e3 * static_cast<double>(workload.batch) / projection.decodeTokensPerSecond;
}

Json deviceJson(const Decision& decision, const StudySnapshot& study)
{
    const auto projection = projectionOf(decision, study);
    if (!projection)
        return nullptr;
    return {{"device", decision.budget.wanted.device->id}, {"fits", projection->fits},
        {"total_bytes", projection->totalBytes()}, {"decode_tokens_per_s", number(projection->decodeTokensPerSecond)},
        {"step_ms", number(stepMilliseconds(*projection, decision.budget.wanted.workload))}};
}

Json uniformJson(const Decision& decision)
{
    const auto& uniform = decision.uniform;
    if (!uniform)
        return nullptr;
    Json json {{"scheme", uniform->label}, {"bytes", uniform->bytes},
        {"bits_per_weight", number(uniform->bitsPerWeight)}, {"value", number(uniform->error)}};
    if (decision.check && decision.check->uniform)
        json["measured"] = number(decision.check->uniform->value);
    return json;
}

Json apartJson(const Decision& decision)
{
    if (!decision.apart)
        return nullptr;
    auto json = pointJson(*decision.apart);
    if (!decision.check || !decision.check->apart)
        return json;
    const auto& together = decision.check->first();
    json["measured"] = number(decision.check->apart->value);
    json["together"] = {{"value", number(together.predicted.error)}, {"measured", number(together.measured.value)}};
    json["contradicts_prediction"] = decision.sharingContradictsTheSum();
    return json;
}

/// What keeping fused tensors together costs within the budget.
std::string apartText(const Decision& decision)
{
    if (!decision.apart)
        return {};
    std::string text = "q, k and v, gate and up, and experts share a scheme; with --split-fused the sum is "
        + Cell(decision.apart->error, 4).shown + " in " + std::to_string(decision.apart->bytes) + " bytes";
    if (decision.check && decision.check->apart) {
        // Both as allocated by their sums: only one of them is searched around.
        const auto& together = decision.check->first();
        text += ", measured " + Cell(decision.check->apart->value, 4).shown + "; sharing, it is "
            + Cell(together.predicted.error, 4).shown + ", measured " + Cell(together.measured.value, 4).shown;
        if (decision.sharingContradictsTheSum())
            text +=
                "\nMeasured and predicted disagree here: apart has the smaller sum, sharing the smaller divergence; "
                "layers' divergences do not add up";
    }
    return text + "\n";
}

Json decisionJson(const Decision& decision, const StudySnapshot& study)
{
    const auto& frontier = decision.frontier;
    const auto& allocation = decision.allocation;
    Json points = Json::array();
    for (const auto i : evenlySpread(frontier.points.size(), 200))
        points.push_back(pointJson(frontier.points[i]));
    Json violations = Json::array();
    for (const auto& violation : frontier.violations)
        violations.push_back({{"tensors", namesOf(frontier.groups[violation.group], study)},
            {"lighter", violation.lighter}, {"heavier", violation.heavier}});
    return {
        {"recipe", Json::parse(decision.recipe(study).toJson())},
        {"bits_per_weight", number(allocation.point.bitsPerWeight)},
        {"bytes", allocation.point.bytes},
        {"predicted", {{"metric", nameOf(decision.metric)}, {"value", number(allocation.point.error)}}},
        {"measured", decision.check ? checkJson(*decision.check) : Json(nullptr)},
        {"bound", number(allocation.bound)},
        {"optimal", allocation.optimal},
        {"device", deviceJson(decision, study)},
        {"uniform_at_same_size", uniformJson(decision)},
        {"split_fused", apartJson(decision)},
        {"warnings", decision.warning() ? Json::array({*decision.warning()}) : Json::array()},
        {"frontier", std::move(points)},
        {"monotonicity_violations", std::move(violations)},
    };
}

TextTable choicesTable(const Decision& decision, const StudySnapshot& study)
{
    TextTable table({"tensor", "scheme", "bytes", std::string(nameOf(decision.metric))});
    for (std::size_t i = 0; i < decision.frontier.groups.size(); ++i) {
        const auto& group = decision.frontier.groups[i];
        const auto& option = group.options[decision.allocation.choice[i]];
        std::string names;
        for (const auto& name : namesOf(group, study))
            names.append(names.empty() ? "" : " ").append(name);
        table.add({names, option.scheme.empty() ? std::string("as stored") : option.scheme, Cell(option.bytes),
            Cell(option.error, 4)});
    }
    return table;
}

std::string summaryOf(const Decision& decision, const StudySnapshot& study)
{
    const auto& point = decision.allocation.point;
    std::string text = "\n" + std::to_string(point.bytes) + " bytes, " + Cell(point.bitsPerWeight, 4).shown
        + " bits per weight; predicted " + std::string(nameOf(decision.metric)) + " " + Cell(point.error, 4).shown;
    if (const auto& uniform = decision.uniform)
        text += "; the best uniform scheme of at most this size, " + uniform->label + ", has "
            + Cell(uniform->error, 4).shown;
    text += "\n" + apartText(decision);
    if (decision.check)
        text += checkText(*decision.check, decision.budget.limit, decision.metric);
    else if (decision.metric == ErrorMetric::ModelError)
        text +=
            "Errors of weights say little about which layers matter: 'sensitivity' with a text gives divergences.\n";
    else
        text += "A sum over layers, not measured: --text measures it, and recipes near it.\n";
    if (const auto projection = projectionOf(decision, study))
        text += "On " + decision.budget.wanted.device->name
            + ", projected: " + Cell(stepMilliseconds(*projection, decision.budget.wanted.workload), 4).shown
            + " ms per step, " + byteText(static_cast<double>(projection->totalBytes()))
            + " with cache and activations, which " + (projection->fits ? "fits" : "does not fit") + "\n";
    if (!decision.allocation.optimal && !(decision.check && decision.check->verified.best != 0))
        text += "The search was cut: no choice is better than " + Cell(decision.allocation.bound, 4).shown + "\n";
    if (!decision.frontier.violations.empty())
        text += std::to_string(decision.frontier.violations.size())
            + " times a larger scheme does worse than a smaller one; the larger was left out (--json lists them)\n";
    return text;
}

Result<void> allocate(Session& session, const AllocateOptions& options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    if (options.check.text.empty() && (options.check.evaluations || !options.check.model.empty()))
        return usageError("--text", "is what recipes are measured on: give one");
    if (!options.recipeOut.empty() && !session.options.force && std::filesystem::exists(options.recipeOut))
        return usageError("--recipe-out " + options.recipeOut, "exists already; --force replaces it");
    const auto study = Study::read(options.study);
    if (!study)
        return tl::unexpected(study.error());
    auto decision = decideOn(session, options, **study);
    if (!decision)
        return tl::unexpected(decision.error());
    if (!options.check.text.empty())
        if (auto checked = check(session, options, *study, *decision); !checked)
            return checked;
    const auto warning = decision->warning();
    if (!options.recipeOut.empty() && !warning)
        if (auto written = writeFileAtomically(options.recipeOut, decision->recipe(**study).toJson()); !written)
            return written;
    Findings findings {.json = decisionJson(*decision, **study), .text = {}, .table = choicesTable(*decision, **study)};
    findings.text = findings.table.text() + summaryOf(*decision, **study);
    if (auto presented = present(session, findings); !presented || !warning)
        return presented;
    // What was found is shown, but who asked for a limit has not got it.
    session.fallShort(decision->budget.option + ": " + *warning
        + (options.recipeOut.empty() ? "" : "; " + options.recipeOut + " was not written"));
    return {};
}

Action setUpAllocate(CLI::App& command)
{
    auto options = std::make_shared<AllocateOptions>();
    command.add_option("STUDY", options->study, "Study whose measurements are allocated from")->required();
    addBudgetOptions(command, options->budget);
    command
        .add_option("--metric", options->metric,
            "model_error, fisher, kfac, one_point_kl or measured_kl (default: the best that the study knows)")
        ->type_name("METRIC");
    command.add_option("--scheme", options->schemes, "Choose among these alone (repeatable; default: all measured)")
        ->type_name("SCHEME")
        ->expected(1)
        ->take_all();
    command.add_option("--keep", options->keep, "Leave these tensors as stored (repeatable)")
        ->type_name("GLOB")
        ->expected(1)
        ->take_all();
    command.add_flag("--split-fused", options->apart,
        "Let q, k and v, gate and up, and experts differ, for tools that do not join them (llama.cpp)");
    addCheckOptions(command, options->check);
    command.add_option("--recipe-out", options->recipeOut, "Write the recipe here (native, *.recipe.json)")
        ->type_name("FILE");
    command.footer(
        "The choice is the optimum of the additive model: layers' figures are summed. Tensors that runtimes\n"
        "fuse (q, k and v; gate and up) share a scheme. What the study's recipe keeps stays as stored. Every scheme\n"
        "that was measured may be chosen, the reference scheme of 'sensitivity' (int3:g32:asym) among them.\n\n"
        "With --text the recipe is run: what it does to the predictions stands beside the sum. Where they differ by\n"
        "more than a tenth, or --evaluations says so, groups swap sizes within the budget, and the best recipe by\n"
        "measured divergence is kept. Where no recipe that was measured keeps to --max-kl, the result says what came\n"
        "closest, --recipe-out is not written, and the exit status is 1. A time as budget is that of a decode step as\n"
        "'project' has it, layer by layer.");
    return [options](Session& session) { return allocate(session, *options); };
}

}  // namespace

extern const Command allocateCommand;
const Command allocateCommand {
    "allocate", "The best mixed-precision recipe within a budget", OutOption | ThreadsOption, setUpAllocate};

}  // namespace quantloupe::cli
