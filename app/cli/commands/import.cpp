// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/base/atomic_file.h"
#include "core/base/mapped_file.h"
#include "core/export_targets/export_target.h"

namespace quantloupe::cli {
namespace {

struct ImportOptions {
    std::string model, file, target;
};

Result<const ExportTarget*> readableTarget(const std::string& name)
{
    std::string known;
    for (const auto* target : exportTargets()) {
        if (target->read == nullptr)
            continue;
        if (target->name == name)
            return target;
        known += (known.empty() ? "" : ", ") + std::string(target->name);
    }
    return usageError("--from " + name, "cannot be read; there are " + known);
}

Result<void> importForeign(const Session& session, const ImportOptions& options)
{
    const auto target = readableTarget(options.target);
    if (!target)
        return tl::unexpected(target.error());
    if (auto writable = requireWritable(session, {}); !writable)
        return writable;
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto file = MappedFile::open(options.file);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    const auto catalog = catalogOf(**model);
    const auto imported =
        importRecipe(**target, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, catalog, options.file);
    if (!imported)
        return tl::unexpected(imported.error());
    for (const auto& warning : imported->warnings)
        session.warn(printable(warning));
    const auto text = imported->recipe.toJson();
    if (!session.options.out.empty())
        if (auto written = writeFileAtomically(session.options.out, text); !written)
            return tl::unexpected(written.error());
    const auto plan = resolve(imported->recipe, catalog);
    const Json json {{"recipe", Json::parse(text)}, {"warnings", imported->warnings}, {"bytes", plan.bytes},
        {"bits_per_weight", number(plan.bitsPerWeight)}};
    return print(
        session, json, session.options.out.empty() ? text : "wrote " + printable(session.options.out.string()) + "\n");
}

Action setUpImport(CLI::App& command)
{
    auto options = std::make_shared<ImportOptions>();
    command.add_option("MODEL", options->model, "Checkpoint that the recipe is for")->required();
    command.add_option("FILE", options->file, "Recipe of another tool")->required();
    command.add_option("--from", options->target, "Which tool's; 'quantloupe-cli targets' says which can be read")
        ->type_name("TARGET")
        ->required();
    return [options](Session& session) { return importForeign(session, *options); };
}

}  // namespace

extern const Command importCommand;
const Command importCommand {"import", "Turns another tool's recipe into a native one", OutOption, setUpImport};

}  // namespace quantloupe::cli
