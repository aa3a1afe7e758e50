// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/export_targets/lint_target.h"

namespace quantloupe::cli {
namespace {

constexpr std::size_t namedTensors = 3;

struct LintOptions {
    std::string model, target;
    RecipeChoice recipe;
};

std::string joined(const std::vector<std::string>& names, std::size_t most)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(most, names.size()); ++i)
        text += (i > 0 ? ", " : "") + names[i];
    return names.size() > most ? text + " and " + std::to_string(names.size() - most) + " more" : text;
}

Json lineJson(const LintedRule& line)
{
    return {{"match", line.match}, {"scheme", line.scheme}, {"matches", line.matches}, {"decides", line.decides},
        {"examples", line.examples}};
}

Json reportJson(const LintReport& report)
{
    Json keep = Json::array(), rules = Json::array(), findings = Json::array();
    for (const auto& line : report.keep)
        keep.push_back(lineJson(line));
    for (const auto& line : report.rules)
        rules.push_back(lineJson(line));
    for (const auto& finding : report.findings)
        findings.push_back({{"kind", nameOf(finding.kind)}, {"severity", nameOf(finding.severity)},
            {"rule", orNull(finding.rule)}, {"tensors", finding.tensors}, {"text", finding.text}});
    return {{"default", lineJson(report.defaults)}, {"keep", std::move(keep)}, {"rules", std::move(rules)},
        {"findings", std::move(findings)}, {"errors", report.count(LintSeverity::Error)},
        {"warnings", report.count(LintSeverity::Warning)}, {"notes", report.count(LintSeverity::Note)}};
}

TextTable reportTable(const LintReport& report)
{
    TextTable table({"rule", "match", "scheme", "matches", "decides", "examples"});
    const auto add = [&](const std::string& name, const LintedRule& line) {
        table.add({name, printable(line.match), line.scheme, std::uint64_t {line.matches}, std::uint64_t {line.decides},
            printable(joined(line.examples, 1))});
    };
    add("", report.defaults);
    for (std::size_t i = 0; i < report.keep.size(); ++i)
        add("keep " + std::to_string(i), report.keep[i]);
    for (std::size_t i = 0; i < report.rules.size(); ++i)
        add(std::to_string(i), report.rules[i]);
    return table;
}

std::string reportText(const LintReport& report)
{
    auto text = reportTable(report).text();
    text += report.findings.empty() ? "\nNothing to remark.\n" : "\n";
    for (const auto& finding : report.findings) {
        text += std::string(nameOf(finding.severity)) + ": ";
        if (finding.rule)
            text += "rule " + std::to_string(*finding.rule) + ": ";
        text += printable(finding.text);
        if (!finding.tensors.empty())
            text += " (" + printable(joined(finding.tensors, namedTensors)) + ")";
        text += "\n";
    }
    return text;
}

Result<void> lintRecipe(const Session& session, const LintOptions& options)
{
    const ExportTarget* target = nullptr;
    if (!options.target.empty()) {
        target = findExportTarget(options.target);
        if (target == nullptr)
            return usageError("--to " + options.target, "no such recipe target; 'quantloupe-cli targets' lists them");
    }
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto catalog = catalogOf(**model);
    const auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());
    if (!*recipe)
        return usageError("lint", "needs --recipe, --scheme or a --study that holds a recipe");
    auto report = lint(**recipe, catalog);
    if (target != nullptr) {
        auto more = lintAgainst(*target, **recipe, catalog);
        report.findings.insert(
            report.findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    Findings findings;
    findings.json = reportJson(report);
    findings.json["target"] = target != nullptr ? Json(target->name) : Json(nullptr);
    findings.table = reportTable(report);
    findings.text = reportText(report);
    if (auto shown = present(session, findings); !shown)
        return shown;
    const auto errors = report.count(LintSeverity::Error);
    if (errors == 0)
        return {};
    // The report is there for whoever reads it; the status is for scripts.
    return failure(ErrorCode::Malformed, options.recipe.file.empty() ? "the recipe" : options.recipe.file,
        errors == 1 ? "has an error" : "has " + std::to_string(errors) + " errors");
}

Action setUpLint(CLI::App& command)
{
    auto options = std::make_shared<LintOptions>();
    command.add_option("MODEL", options->model, "Checkpoint that the recipe is for")->required();
    addRecipeOptions(command, options->recipe);
    command.add_option("--to", options->target, "Also what this recipe target would do differently")
        ->type_name("TARGET");
    command.footer(
        "matches: tensors that can be quantized and that the glob matches; decides: those for which the line has the\n"
        "last word. With --to the recipe is written for the target, read back by the target's own rules of precedence\n"
        "and matching where its format allows that, and compared tensor by tensor. The status is 3 where there are "
        "errors: what a format or a target cannot hold.");
    return [options](Session& session) { return lintRecipe(session, *options); };
}

}  // namespace

extern const Command lintCommand;
const Command lintCommand {
    "lint", "Reads a recipe as a reviewer would, against a model", StudyOption | OutOption, setUpLint};

}  // namespace quantloupe::cli
