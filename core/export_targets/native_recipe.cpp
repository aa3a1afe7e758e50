// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/export_target.h"

namespace quantloupe::export_targets {
namespace {

Result<ExportResult> write(const Recipe& recipe, const Plan&, const ModelCatalog&)
{
    return ExportResult {.files = {{"", recipe.toJson()}}, .warnings = {}, .command = {}};
}

}  // namespace

extern const ExportTarget native_recipe;
const ExportTarget native_recipe {
    .name = "quantloupe",
    .title = "Quantloupe recipe",
    .description = "The recipe itself, complete and without loss. Opens again in the window and on the command line.",
    .suffix = ".recipe.json",
    .write = &write,
};

}  // namespace quantloupe::export_targets
