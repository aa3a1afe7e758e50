// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/output.h"

#include "core/checkpoints/checkpoint_target.h"
#include "core/export_targets/export_target.h"

namespace quantloupe::cli {
namespace {

Result<void> listTargets(const Session& session)
{
    Findings findings;
    Json targets = Json::array();
    findings.table = TextTable({"target", "kind", "suffix", "what it takes"});
    for (const auto* target : exportTargets()) {
        targets.push_back({
            {"name", target->name},
            {"kind", "recipe"},
            {"title", target->title},
            {"suffix", target->suffix},
            {"description", target->description},
            {"can_be_read", target->read != nullptr},
        });
        findings.table.add({target->name, "recipe", target->suffix, target->description});
    }
    for (const auto* target : checkpointTargets()) {
        const auto suffix = target->suffix.empty() ? std::string_view("(folder)") : target->suffix;
        targets.push_back({
            {"name", target->name},
            {"kind", "checkpoint"},
            {"title", target->title},
            {"suffix", target->suffix},
            {"description", target->description},
        });
        findings.table.add({target->name, "checkpoint", suffix, target->description});
    }
    findings.text = findings.table.text();
    findings.json = {{"targets", std::move(targets)}};
    return present(session, findings);
}

Action setUpTargets(CLI::App&)
{
    return [](Session& session) { return listTargets(session); };
}

}  // namespace

extern const Command targetsCommand;
const Command targetsCommand {
    "targets", "Lists what recipes can be exported to: recipe files and checkpoints", OutOption, setUpTargets};

}  // namespace quantloupe::cli
