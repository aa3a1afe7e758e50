// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/export_target.h"

namespace quantloupe::export_targets {
namespace {

Result<ExportResult> write(const Recipe& recipe, const Plan&, const ModelCatalog&)
{
    return ExportResult {.files = {{"", recipe.toJson()}}, .warnings = {}, .command = {}};
}

Result<ImportedPlans> read(std::string_view text, const ModelCatalog& model, const std::string& where)
{
    const auto recipe = Recipe::fromJson(text, where);
    if (!recipe)
        return tl::unexpected<Error>(recipe.error());
    const auto plan = resolve(*recipe, model);
    ImportedPlans imported;
    for (const auto& planned : plan.tensors)
        imported.plans.push_back(
            planned.scheme ? std::optional(LayerPlan {*planned.scheme, planned.activations}) : std::nullopt);
    return imported;
}

}  // namespace

extern const ExportTarget native_recipe;
const ExportTarget native_recipe {
    .name = "quantloupe",
    .title = "Quantloupe recipe",
    .description = "The recipe itself, complete and without loss. Opens again in the window and on the command line.",
    .suffix = ".recipe.json",
    .write = &write,
    .read = &read,
};

}  // namespace quantloupe::export_targets
