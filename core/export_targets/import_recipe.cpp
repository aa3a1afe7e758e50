// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/export_target.h"
#include "core/recipes/edit.h"

namespace quantloupe {

Result<ImportedRecipe> importRecipe(
    const ExportTarget& target, std::string_view text, const ModelCatalog& model, const std::string& where)
{
    if (target.read == nullptr)
        return failure(ErrorCode::Unsupported, where,
            "files of " + std::string(target.name) + " do not say enough to be read back");
    auto imported = target.read(text, model, where);
    if (!imported)
        return tl::unexpected<Error>(imported.error());
    Recipe base;
    base.architecture = model.config.architecture;
    base.fingerprint = model.fingerprint;
    base.parameters = model.parameters();
    base.defaultPlan.weights = Scheme::of(Format::Bf16);
    base.notes = "read from " + where;
    return ImportedRecipe {recipeFor(model, imported->plans, base), std::move(imported->warnings)};
}

}  // namespace quantloupe
