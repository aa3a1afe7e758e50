// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/recipes/plan.h"

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// One file of an export.
struct ExportedFile {
    std::string name;     ///< suffix appended to the path the user chose; empty for the main file
    std::string content;  ///< UTF-8, line feeds
};

/// What an export comes to, before anything is written: the dialog's preview and the command's output.
struct ExportResult {
    std::vector<ExportedFile> files;    ///< the first is the main one
    std::vector<std::string> warnings;  ///< what was widened, substituted or lost, naming tensors
    /// Shell command that consumes it, the main file under its default name; empty where there is none.
    std::string command;
};

/// What a file of another tool says.
struct ImportedPlans {
    std::vector<std::optional<LayerPlan>> plans;  ///< of each tensor of the model; absent: stays as stored
    std::vector<std::string> warnings;            ///< rules that match nothing, what has no scheme here
};

/// One row of the target table.
struct ExportTarget {
    std::string_view name;         ///< as in `--to`, e.g. "llama.cpp"
    std::string_view title;        ///< "llama.cpp tensor types"
    std::string_view description;  ///< what it can and cannot express, one or two sentences
    std::string_view suffix;       ///< of the main file, e.g. ".tensor-types.txt"
    /// Errors: Unsupported naming the tensor and scheme that the target cannot express.
    Result<ExportResult> (*write)(const Recipe& recipe, const Plan& plan, const ModelCatalog& model);
    /// What the main file says about each tensor of a model, by the tool's own rules of precedence and matching;
    /// nullptr where that cannot be told from the file. `where` names the file in errors.
    Result<ImportedPlans> (*read)(std::string_view text, const ModelCatalog& model, const std::string& where) = nullptr;
};

std::span<const ExportTarget* const> exportTargets();
const ExportTarget* findExportTarget(std::string_view name);

/// The recipe that a file of another tool amounts to. Errors: Unsupported where the target cannot be read, Malformed.
struct ImportedRecipe {
    Recipe recipe;
    std::vector<std::string> warnings;
};
Result<ImportedRecipe> importRecipe(
    const ExportTarget& target, std::string_view text, const ModelCatalog& model, const std::string& where);

/// The name that a main file gets where the user gives none: the model's own, without its suffix, and the target's.
std::string defaultExportName(const ExportTarget& target, const ModelCatalog& model);

/// The result with the name of the main file, wherever its command gives it, changed from the default one.
ExportResult renamed(
    ExportResult result, const ExportTarget& target, const ModelCatalog& model, const std::filesystem::path& path);

/// Writes every file of a result atomically, `path` being the main file. Errors: CannotWrite; Conflict when a file
/// exists and `overwrite` is false.
Result<std::vector<std::filesystem::path>> writeExport(
    const ExportResult& result, const std::filesystem::path& path, bool overwrite);

}  // namespace quantloupe
