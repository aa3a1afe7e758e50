// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/export_checkpoint.h"
#include "app/cli/importance_option.h"
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/checkpoints/checkpoint_target.h"
#include "core/export_targets/export_target.h"
#include "core/recipes/plan.h"

namespace quantloupe::cli {
namespace {

struct ExportOptions {
    std::string model, target, imatrix;
    RecipeChoice recipe;
    CheckpointWishes checkpoint;
};

std::string textOf(const ExportResult& result, const std::vector<std::filesystem::path>& files)
{
    std::string text;
    for (const auto& file : files)
        text += "wrote " + file.string() + "\n";
    if (!result.command.empty())
        text += "\nTo use it:\n" + result.command + (result.command.ends_with('\n') ? "" : "\n");
    return text;
}

tl::unexpected<Error> unknownTarget(const std::string& name)
{
    std::string known;
    for (const auto* target : exportTargets())
        known += (known.empty() ? "" : ", ") + std::string(target->name);
    for (const auto* target : checkpointTargets())
        known += ", " + std::string(target->name);
    return usageError("--to " + name, "no such target; there are " + known);
}

Result<void> writeRecipe(
    const Session& session, const ExportTarget& target, const Recipe& recipe, const ModelCatalog& catalog)
{
    const auto plan = resolve(recipe, catalog);
    auto result = target.write(recipe, plan, catalog);
    if (!result)
        return tl::unexpected(result.error());
    *result = renamed(std::move(*result), target, catalog, session.options.out);
    auto files = writeExport(*result, session.options.out, session.options.force);
    if (!files && files.error().code == ErrorCode::Conflict)
        return usageError("--out " + files.error().where, "the file exists; --force overwrites it");
    if (!files)
        return tl::unexpected(files.error());

    Json written = Json::array();
    for (const auto& file : *files)
        written.push_back(file.string());
    for (const auto& warning : result->warnings)
        session.warn(printable(warning));
    const Json json {
        {"target", target.name},
        {"files", std::move(written)},
        {"warnings", result->warnings},
        {"command", result->command.empty() ? Json(nullptr) : Json(result->command)},
        {"bytes", plan.bytes},
        {"bits_per_weight", number(plan.bitsPerWeight)},
    };
    return print(session, json, textOf(*result, *files));
}

Result<void> exportModel(const Session& session, const ExportOptions& options)
{
    const auto* target = findExportTarget(options.target);
    const auto* checkpoint = findCheckpointTarget(options.target);
    if (!target && !checkpoint)
        return unknownTarget(options.target);
    if (session.options.out.empty())
        return usageError("--out",
            target ? "is required: the file to write, usually ending in " + std::string(target->suffix)
                   : "is required: the " + std::string(checkpoint->suffix.empty() ? "folder" : "file") + " to write");
    std::error_code ignored;
    if (const auto& study = session.options.study; !study.empty() && !std::filesystem::exists(study, ignored))
        return failure(ErrorCode::CannotOpen, study.string(), "no such study");
    const auto known = openCalibratedModel(session, options.model);
    if (!known)
        return tl::unexpected(known.error());
    const auto weighed = weighModel(session, options.imatrix, known->model);
    if (!weighed)
        return tl::unexpected(weighed.error());
    const auto catalog = catalogOf(*weighed->model);
    const auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());
    if (!*recipe)
        return usageError("export", "needs --recipe, --scheme or a --study that holds a recipe");
    for (const auto& warning : weighed->warnings)
        session.warn(warning);
    return target
        ? writeRecipe(session, *target, **recipe, catalog)
        : exportCheckpoint(session, *checkpoint, options.checkpoint,
            {.model = weighed->model, .catalog = catalog, .recipe = **recipe, .plan = resolve(**recipe, catalog)});
}

Action setUpExport(CLI::App& command)
{
    auto options = std::make_shared<ExportOptions>();
    command.add_option("MODEL", options->model, "Checkpoint that the recipe is for")->required();
    addRecipeOptions(command, options->recipe);
    command.add_option("--to", options->target, "Target; 'quantloupe-cli targets' lists them")
        ->type_name("TARGET")
        ->required();
    addImportanceOption(command, options->imatrix);
    addCheckpointOptions(command, options->checkpoint);
    command.footer(
        "A target is a recipe for another tool, or a checkpoint. Of a checkpoint everything that will differ from the\n"
        "recipe is told first; it is written beside --out, read again, compared with the codes bit for bit, and gets\n"
        "its name only then. --dry-run stops before anything is written.");
    return [options](Session& session) { return exportModel(session, *options); };
}

}  // namespace

extern const Command exportCommand;
const Command exportCommand {"export", "Writes a recipe for another tool, or a quantized checkpoint",
    StudyOption | OutOption | ThreadsOption, setUpExport};

}  // namespace quantloupe::cli
