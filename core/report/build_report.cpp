// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/signal_energy.h"
#include "core/report/report_context.h"

#include "core/study/error_metric.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace quantloupe {

namespace {

struct SectionRow {
    const char* id;
    const char* title;
    std::vector<ReportBlock> (*build)(const ReportContext&);
};

/// In reading order: what was found and decided first, how it was computed last.
constexpr std::array<SectionRow, 9> sectionTable {{
    {"summary", "Summary", summaryBlocks},
    {"findings", "Findings", findingBlocks},
    {"sizes", "Size and range by role", sizeBlocks},
    {"sensitivity", "Sensitivity", sensitivityBlocks},
    {"trade_off", "Trade-off", tradeOffBlocks},
    {"recipe", "Recipe", recipeBlocks},
    {"savings", "Savings", savingsBlocks},
    {"layers", "Layers", layerBlocks},
    {"method", "Method", methodBlocks},
}};

bool wanted(const ReportOptions& options, const char* id)
{
    return options.sections.empty()
        || std::find(options.sections.begin(), options.sections.end(), id) != options.sections.end();
}

std::string titleOf(const StudySnapshot& study, const ReportOptions& options)
{
    if (!options.title.empty())
        return options.title;
    const std::string& architecture = study.model.config.architecture;
    return "Quantization of " + (architecture.empty() ? "a model" : "a " + architecture + " model") + " with "
        + formatCount(study.model.parameters()) + " parameters";
}

}  // namespace

const SchemeMeasurement* ReportContext::planned(std::size_t tensor) const
{
    if (!plan || tensor >= plan->tensors.size() || !plan->tensors[tensor].scheme)
        return nullptr;
    return study.find(study.model.tensors[tensor].name, plan->tensors[tensor].scheme->toString());
}

std::string ReportContext::plannedScheme(std::size_t tensor) const
{
    if (!plan || tensor >= plan->tensors.size())
        return "–";
    const auto& scheme = plan->tensors[tensor].scheme;
    return scheme ? scheme->toString() : "kept";
}

std::vector<std::pair<std::string, std::string>> reportSections()
{
    std::vector<std::pair<std::string, std::string>> sections;
    for (const SectionRow& row : sectionTable)
        sections.emplace_back(row.id, row.title);
    return sections;
}

ReportFinding reportFinding(std::string tensor, std::string text, double severity)
{
    using Severity = ReportFinding::Severity;
    const Severity kind = severity >= 500.0 ? Severity::Problem : severity >= 6.0 ? Severity::Warning : Severity::Note;
    return {kind, std::move(tensor), std::move(text)};
}

ReportDocument buildReport(const StudySnapshot& study, const ReportOptions& options)
{
    ReportContext context {study, options, nullptr, std::nullopt, options.workload, signalEnergy(study), {}};
    if (options.recipe)
        context.recipe = &*options.recipe;
    else if (study.recipe)
        context.recipe = &*study.recipe;
    if (context.recipe) {
        context.plan = resolve(*context.recipe, study.model);
        context.workload = workloadUnder(*context.recipe, study.model, options.workload);
    }
    if (wanted(options, "trade_off") || wanted(options, "summary"))
        context.tradeOff = tradeOffPicture(study, context.recipe);

    ReportDocument document;
    document.title = titleOf(study, options);
    document.author = options.author;
    document.notes = options.notes;
    document.date = options.date;
    document.devices = options.devices;
    document.workload = context.workload;
    if (context.recipe)
        document.recipe = *context.recipe;
    for (const SectionRow& row : sectionTable) {
        if (!wanted(options, row.id))
            continue;
        // A section with nothing to say is left out rather than shown empty.
        if (auto blocks = row.build(context); !blocks.empty())
            document.sections.push_back({row.id, row.title, std::move(blocks)});
    }
    return document;
}

}  // namespace quantloupe
