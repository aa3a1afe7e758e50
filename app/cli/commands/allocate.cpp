// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/allocation/allocation.h"
#include "core/base/atomic_file.h"
#include "core/report/trade_off.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace quantloupe::cli {
namespace {

struct AllocateOptions {
    std::string study, budget, metric, recipeOut;
    std::vector<std::string> schemes, keep;
    double maxKl = 0.0;
    bool limitsKl = false;
};

/// "4.5bpw", "6GiB", "180MB" or bytes. Errors: usage.
Result<AllocationLimit> parseBudget(const std::string& text, const ModelCatalog& model)
{
    double number = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string unit(end, text.data() + text.size());
    constexpr std::pair<const char*, double> units[] = {{"", 1.0}, {"B", 1.0}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
        {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
    if (error == std::errc() && number > 0.0 && std::isfinite(number)) {
        if (unit == "bpw")
            return AllocationLimit {
                AllocationLimit::Kind::TotalBytes, number * static_cast<double>(model.parameters()) / 8.0};
        for (const auto& [name, factor] : units)
            if (unit == name)
                return AllocationLimit {AllocationLimit::Kind::TotalBytes, number * factor};
    }
    return usageError("--budget " + text, "write bits per weight (4.5bpw) or a size (6GiB, 180MB, 1000000)");
}

Result<AllocationLimit> limitOf(const AllocateOptions& options, const ModelCatalog& model)
{
    if (options.limitsKl == !options.budget.empty())
        return usageError("--budget", "give a budget (4.5bpw, 6GiB) or --max-kl, one of them");
    if (options.limitsKl && !std::isfinite(options.maxKl))
        return usageError("--max-kl", "is no number of nats");
    if (options.limitsKl)
        return AllocationLimit {AllocationLimit::Kind::TotalError, options.maxKl};
    return parseBudget(options.budget, model);
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
    const auto isKl = [](ErrorMetric metric) {
        return metric == ErrorMetric::OnePointKl || metric == ErrorMetric::MeasuredKl;
    };
    auto metric = bestMetric(study);
    if (options.limitsKl)
        for (const auto kl : {ErrorMetric::MeasuredKl, ErrorMetric::OnePointKl})
            if (!isKl(metric) && std::find(known.begin(), known.end(), kl) != known.end())
                metric = kl;
    if (!options.metric.empty()) {
        const auto named = metricNamed(options.metric);
        if (!named || !addsUp(*named) || std::find(known.begin(), known.end(), *named) == known.end())
            return usageError("--metric " + options.metric, "the study can be allocated by " + namesOf(known));
        metric = *named;
    }
    if (options.limitsKl && !isKl(metric))
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
    ErrorMetric metric;
    Frontier frontier;
    Allocation allocation;
    Recipe recipe;
    std::optional<TradeOffPoint> uniform;
};

Result<Decision> decideOn(const AllocateOptions& options, const StudySnapshot& study)
{
    const auto limit = limitOf(options, study.model);
    if (!limit)
        return tl::unexpected(limit.error());
    const auto metric = metricOf(options, study);
    if (!metric)
        return tl::unexpected(metric.error());
    // All that was measured is decided on, but for what the study's own recipe or the user keeps.
    auto base = study.recipe.value_or(Recipe::uniform(Scheme {}, study.model));
    if (!study.recipe)
        base.keep.clear();
    base.keep.insert(base.keep.end(), options.keep.begin(), options.keep.end());
    auto found = frontier(study, options.schemes, base.keep, *metric);
    if (!found)
        return tl::unexpected(found.error());
    auto allocation = allocateWithin(*found, study, *limit);
    if (!allocation) {
        auto error = allocation.error();
        error.where = options.limitsKl ? "--max-kl" : "--budget " + options.budget;
        return tl::unexpected(std::move(error));
    }
    auto recipe = recipeOf(found->groups, allocation->choice, study, base);
    auto uniform = bestUniform(uniformPoints(study, base.keep, *metric), allocation->point.bytes);
    return Decision {*metric, std::move(*found), std::move(*allocation), std::move(recipe), std::move(uniform)};
}

Json decisionJson(const Decision& decision)
{
    const auto& [metric, frontier, allocation, recipe, uniform] = decision;
    Json points = Json::array();
    for (const auto i : evenlySpread(frontier.points.size(), 200))
        points.push_back(pointJson(frontier.points[i]));
    Json violations = Json::array();
    for (const auto& violation : frontier.violations)
        violations.push_back({{"tensors", frontier.groups[violation.group].tensors}, {"lighter", violation.lighter},
            {"heavier", violation.heavier}});
    return {
        {"recipe", Json::parse(recipe.toJson())},
        {"bits_per_weight", number(allocation.point.bitsPerWeight)},
        {"bytes", allocation.point.bytes},
        {"predicted", {{"metric", nameOf(metric)}, {"value", number(allocation.point.error)}}},
        {"bound", number(allocation.bound)},
        {"optimal", allocation.optimal},
        {"uniform_at_same_size",
            uniform ? Json {{"scheme", uniform->label}, {"bytes", uniform->bytes},
                {"bits_per_weight", number(uniform->bitsPerWeight)}, {"value", number(uniform->error)}}
                    : Json(nullptr)},
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
        for (const auto tensor : group.tensors)
            names.append(names.empty() ? "" : " ").append(study.model.tensors[tensor].name);
        table.add({names, option.scheme.empty() ? std::string("as stored") : option.scheme, Cell(option.bytes),
            Cell(option.error, 4)});
    }
    return table;
}

std::string summaryOf(const Decision& decision)
{
    const auto& point = decision.allocation.point;
    std::string text = "\n" + std::to_string(point.bytes) + " bytes, " + Cell(point.bitsPerWeight, 4).shown
        + " bits per weight; predicted " + std::string(nameOf(decision.metric)) + " " + Cell(point.error, 4).shown;
    if (const auto& uniform = decision.uniform)
        text += "; the best uniform scheme of at most this size, " + uniform->label + ", has "
            + Cell(uniform->error, 4).shown;
    text += "\n";
    if (decision.metric == ErrorMetric::ModelError)
        text +=
            "Errors of weights say little about which layers matter: 'sensitivity' with a text gives divergences.\n";
    if (!decision.allocation.optimal)
        text += "The search was cut: no choice is better than " + Cell(decision.allocation.bound, 4).shown + "\n";
    if (!decision.frontier.violations.empty())
        text += std::to_string(decision.frontier.violations.size())
            + " times a larger scheme does worse than a smaller one; the larger was left out (--json lists them)\n";
    return text;
}

Result<void> allocate(const Session& session, const AllocateOptions& options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto study = Study::read(options.study);
    if (!study)
        return tl::unexpected(study.error());
    const auto decision = decideOn(options, **study);
    if (!decision)
        return tl::unexpected(decision.error());
    if (!options.recipeOut.empty()) {
        if (!session.options.force && std::filesystem::exists(options.recipeOut))
            return usageError("--recipe-out " + options.recipeOut, "exists already; --force replaces it");
        if (auto written = writeFileAtomically(options.recipeOut, decision->recipe.toJson()); !written)
            return written;
    }
    Findings findings {.json = decisionJson(*decision), .text = {}, .table = choicesTable(*decision, **study)};
    findings.text = findings.table.text() + summaryOf(*decision);
    return present(session, findings);
}

Action setUpAllocate(CLI::App& command)
{
    auto options = std::make_shared<AllocateOptions>();
    command.add_option("STUDY", options->study, "Study whose measurements are allocated from")->required();
    command.add_option("--budget", options->budget, "Size of the model: 4.5bpw, 6GiB")->type_name("SIZE");
    auto* maxKl =
        command.add_option("--max-kl", options->maxKl, "Summed divergence, instead of a budget: fewest bytes")
            ->type_name("NATS")
            ->check(CLI::NonNegativeNumber);
    command
        .add_option("--metric", options->metric,
            "model_error, one_point_kl or measured_kl (default: the best that the study knows)")
        ->type_name("METRIC");
    command.add_option("--scheme", options->schemes, "Choose among these alone (repeatable; default: all measured)")
        ->type_name("SCHEME")
        ->expected(1)
        ->take_all();
    command.add_option("--keep", options->keep, "Leave these tensors as stored (repeatable)")
        ->type_name("GLOB")
        ->expected(1)
        ->take_all();
    command.add_option("--recipe-out", options->recipeOut, "Write the recipe here (native, *.recipe.json)")
        ->type_name("FILE");
    command.footer(
        "The choice is the optimum of the additive model: layers' figures are summed. Tensors that runtimes\n"
        "fuse (q, k and v; gate and up) share a scheme. What the study's recipe keeps stays as stored. Every scheme\n"
        "that was measured may be chosen, the reference scheme of 'sensitivity' (int3:g32:asym) among them.");
    return [options, maxKl](Session& session) {
        options->limitsKl = maxKl->count() > 0;
        return allocate(session, *options);
    };
}

}  // namespace

extern const Command allocateCommand;
const Command allocateCommand {"allocate", "The best mixed-precision recipe within a budget", OutOption, setUpAllocate};

}  // namespace quantloupe::cli
