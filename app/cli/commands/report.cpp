// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/html_report.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/analysis/findings.h"
#include "core/base/atomic_file.h"
#include "core/report/document.h"

#include <algorithm>

namespace quantloupe::cli {
namespace {

struct ReportCommandOptions {
    std::string study;
    std::vector<std::string> devices;
    std::string recipe;
    ReportOptions report;
};

/// The sentences of the analysis, with how serious each is.
std::vector<ReportFinding> reportFindings(const StudySnapshot& study)
{
    constexpr double kBroken = 500.0;  // findings.h: broken values and constant tensors
    constexpr double kManyDecibels = 6.0;
    std::vector<ReportFinding> list;
    for (const auto& finding : findingsOf(study)) {
        const auto severity = finding.severity >= kBroken ? ReportFinding::Severity::Problem
            : finding.severity >= kManyDecibels           ? ReportFinding::Severity::Warning
                                                          : ReportFinding::Severity::Note;
        list.push_back({severity, finding.tensor, finding.text});
    }
    return list;
}

Result<void> requireSections(const std::vector<std::string>& wanted)
{
    const auto sections = reportSections();
    for (const auto& id : wanted) {
        if (std::any_of(sections.begin(), sections.end(), [&](const auto& section) { return section.first == id; }))
            continue;
        std::string known;
        for (const auto& section : sections)
            known += (known.empty() ? "" : ", ") + section.first;
        return usageError("--section " + id, "no such section; there are " + known);
    }
    return {};
}

Result<std::string> render(const std::string& suffix, const ReportDocument& document, const StudySnapshot& study)
{
    if (suffix == ".md")
        return renderMarkdown(document);
    if (suffix == ".csv")
        return renderCsv(document);
    return renderHtmlReport(document, study);
}

Result<void> report(const Session& session, ReportCommandOptions options)
{
    const auto& out = session.options.out;
    if (out.empty())
        return usageError("--out", "is required: the report to write, .html, .md or .csv");
    const auto suffix = out.extension().string();
    if (suffix == ".pdf")
        return usageError("--out " + out.string(), "PDF reports are not built yet; use .html, .md or .csv");
    if (suffix == ".html" && !htmlReportsAreBuilt())
        return usageError("--out " + out.string(),
            "HTML reports need the full build (this program was built without the window); use .md or .csv");
    if (auto writable = requireWritable(session, {".html", ".md", ".csv"}); !writable)
        return writable;
    if (auto known = requireSections(options.report.sections); !known)
        return known;
    for (const auto& name : options.devices) {
        auto device = findDevice(session, name);
        if (!device)
            return tl::unexpected(device.error());
        options.report.devices.push_back(std::move(*device));
    }
    if (!options.recipe.empty()) {
        auto recipe = loadRecipe(options.recipe);
        if (!recipe)
            return tl::unexpected(recipe.error());
        options.report.recipe = std::move(*recipe);
    }
    const auto study = Study::read(options.study);
    if (!study)
        return tl::unexpected(study.error());
    options.report.findings = reportFindings(**study);
    const auto document = buildReport(**study, options.report);
    const auto content = render(suffix, document, **study);
    if (!content)
        return tl::unexpected(content.error());
    if (auto written = writeFileAtomically(out, *content); !written)
        return written;
    Json sections = Json::array();
    for (const auto& section : document.sections)
        sections.push_back(section.id);
    const Json json {{"out", out.string()}, {"bytes", content->size()}, {"sections", std::move(sections)}};
    return print(session, json, "wrote " + out.string() + "\n");
}

Action setUpReport(CLI::App& command)
{
    auto options = std::make_shared<ReportCommandOptions>();
    command.add_option("STUDY", options->study, "Study to report on")->required();
    command.add_option("--title", options->report.title, "Title (default: the model's name)")->type_name("TEXT");
    command.add_option("--author", options->report.author, "Author")->type_name("TEXT");
    command.add_option("--notes", options->report.notes, "Notes to print in front")->type_name("TEXT");
    command.add_option("--date", options->report.date, "Date to print; left out by default, so that reports repeat")
        ->type_name("TEXT");
    command.add_option("--section", options->report.sections, "Only these sections (repeatable)")
        ->type_name("ID")
        ->expected(1)
        ->take_all();
    command.add_option("--recipe", options->recipe, "Recipe to report on (default: the one the study holds)")
        ->type_name("FILE");
    command
        .add_option("--device", options->devices, "Device to project savings on, by id or profile file (repeatable)")
        ->type_name("DEVICE")
        ->expected(1)
        ->take_all();
    addWorkloadOptions(command, options->report.workload);
    return [options](Session& session) { return report(session, *options); };
}

}  // namespace

extern const Command reportCommand;
const Command reportCommand {
    "report", "Writes a study as HTML, Markdown or CSV, by the suffix of --out", OutOption, setUpReport};

}  // namespace quantloupe::cli
