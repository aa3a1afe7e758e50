// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/export_targets/export_target.h"
#include "core/recipes/plan.h"

namespace quantloupe::cli {
namespace {

struct ExportOptions {
    std::string model;
    RecipeChoice recipe;
    std::string target;
};

Result<const ExportTarget*> findTarget(const std::string& name)
{
    if (const auto* target = findExportTarget(name))
        return target;
    std::string known;
    for (const auto* target : exportTargets())
        known += (known.empty() ? "" : ", ") + std::string(target->name);
    return usageError("--to " + name, "no such target; there are " + known);
}

std::string textOf(const ExportResult& result, const std::vector<std::filesystem::path>& files)
{
    std::string text;
    for (const auto& file : files)
        text += "wrote " + file.string() + "\n";
    if (!result.command.empty())
        text += "\nTo use it:\n" + result.command + (result.command.ends_with('\n') ? "" : "\n");
    return text;
}

Result<void> exportRecipe(const Session& session, const ExportOptions& options)
{
    const auto target = findTarget(options.target);
    if (!target)
        return tl::unexpected(target.error());
    if (session.options.out.empty())
        return usageError(
            "--out", "is required: the file to write, usually ending in " + std::string((*target)->suffix));
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto catalog = catalogOf(**model);
    const auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());
    if (!*recipe)
        return usageError("export", "needs --recipe, --scheme or a --study that holds a recipe");
    const auto plan = resolve(**recipe, catalog);
    auto result = (*target)->write(**recipe, plan, catalog);
    if (!result)
        return tl::unexpected(result.error());
    *result = renamed(std::move(*result), **target, catalog, session.options.out);
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
        {"target", (*target)->name},
        {"files", std::move(written)},
        {"warnings", result->warnings},
        {"command", result->command.empty() ? Json(nullptr) : Json(result->command)},
        {"bytes", plan.bytes},
        {"bits_per_weight", number(plan.bitsPerWeight)},
    };
    return print(session, json, textOf(*result, *files));
}

Action setUpExport(CLI::App& command)
{
    auto options = std::make_shared<ExportOptions>();
    command.add_option("MODEL", options->model, "Checkpoint that the recipe is for")->required();
    addRecipeOptions(command, options->recipe);
    command.add_option("--to", options->target, "Target; 'quantloupe-cli targets' lists them")
        ->type_name("TARGET")
        ->required();
    return [options](Session& session) { return exportRecipe(session, *options); };
}

}  // namespace

extern const Command exportCommand;
const Command exportCommand {"export", "Writes a recipe for another tool", StudyOption | OutOption, setUpExport};

}  // namespace quantloupe::cli
