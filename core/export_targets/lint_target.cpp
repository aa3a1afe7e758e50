// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/lint_target.h"

#include <map>

namespace quantloupe {
namespace {

std::string planText(const std::optional<LayerPlan>& plan)
{
    return plan ? plan->toString() : "as stored";
}

/// Tensors whose scheme is another when the tool's file is applied by the tool's rules, one finding per kind.
void compareReadBack(const ExportTarget& target, const ExportResult& result, const Plan& plan,
    const ModelCatalog& model, std::vector<LintFinding>& findings)
{
    auto text = result.files.front().content;
    if (!result.command.empty())
        text += "\n" + result.command;
    const auto imported = target.read(text, model, std::string(target.name));
    if (!imported) {
        findings.push_back({LintKind::Target, LintSeverity::Error, std::nullopt, {}, describe(imported.error())});
        return;
    }
    std::map<std::string, std::vector<std::string>> kinds;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& planned = plan.tensors[i];
        const auto wanted =
            planned.scheme ? std::optional(LayerPlan {*planned.scheme, planned.activations}) : std::nullopt;
        if (imported->plans[i] != wanted)
            kinds[planText(wanted) + " becomes " + planText(imported->plans[i])].push_back(model.tensors[i].name);
    }
    for (auto& [kind, tensors] : kinds)
        findings.push_back({LintKind::Target, LintSeverity::Warning, std::nullopt, std::move(tensors),
            std::string(target.name) + ": " + kind});
    for (const auto& warning : imported->warnings)
        findings.push_back(
            {LintKind::Target, LintSeverity::Warning, std::nullopt, {}, std::string(target.name) + ": " + warning});
}

}  // namespace

std::vector<LintFinding> lintAgainst(const ExportTarget& target, const Recipe& recipe, const ModelCatalog& model)
{
    std::vector<LintFinding> findings;
    const auto plan = resolve(recipe, model);
    const auto result = target.write(recipe, plan, model);
    if (!result) {
        findings.push_back(
            {LintKind::Target, LintSeverity::Error, std::nullopt, {result.error().where}, result.error().reason});
        return findings;
    }
    for (const auto& warning : result->warnings)
        findings.push_back(
            {LintKind::Target, LintSeverity::Note, std::nullopt, {}, std::string(target.name) + ": " + warning});
    if (target.read != nullptr)
        compareReadBack(target, *result, plan, model, findings);
    return findings;
}

}  // namespace quantloupe
