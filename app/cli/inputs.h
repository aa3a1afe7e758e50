// SPDX-License-Identifier: GPL-3.0-or-later
// What commands read: models, studies, schemes, recipes and devices, each with the errors of the contract.
#pragma once

#include "app/cli/session.h"

#include "core/algorithms/combinations.h"
#include "core/model/model.h"
#include "core/projection/projection.h"
#include "core/recipes/recipe.h"
#include "core/study/study.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe::cli {

/// MODEL of a command line: a path, or `sample`.
Result<ModelPointer> openNamedModel(const Session& session, const std::string& name);

/// The model that a study is of: at `name`, or where the study found it. Errors: those of opening it, Conflict (another
/// model).
Result<ModelPointer> openModelOf(const Session& session, const StudySnapshot& study, const std::string& name);

/// --study, opened for `model`; null when there is none.
Result<std::unique_ptr<Study>> openStudy(const Session& session, const Model& model);

/// A model with what the calibration in --study knows of its layers' inputs; as it is where there is none.
struct CalibratedModel {
    ModelPointer model;
    ModelCalibration calibration {};
};
/// Errors: those of opening the model and of reading the study, Conflict (another model's study).
Result<CalibratedModel> openCalibratedModel(const Session& session, const std::string& name);

/// Each --scheme once, in the order given. Errors: InvalidArgument for what cannot be read or is not built, by name.
Result<std::vector<Scheme>> parseSchemes(const std::vector<std::string>& texts, Calibration calibration);

/// Whether a model that is so far known can be quantized by these. Errors: usage, naming --scheme.
Result<void> requireCalibration(const Model& model, const std::vector<Scheme>& schemes);

/// The recipe that a command works with: a file, a uniform scheme, or what the study holds.
struct RecipeChoice {
    std::string file;
    std::string scheme;
};
void addRecipeOptions(CLI::App& command, RecipeChoice& choice);

/// --recipe, else --scheme for every quantizable tensor but embedding and output head, else the recipe of --study;
/// absent when none of them is given. Warns when the recipe was made for another model.
Result<std::optional<Recipe>> chooseRecipe(
    const Session& session, const RecipeChoice& choice, const ModelCatalog& model);

/// --context and --batch.
void addWorkloadOptions(CLI::App& command, Workload& workload);

/// A native recipe file. Errors: CannotOpen, Malformed, Unsupported, each naming file and key.
Result<Recipe> loadRecipe(const std::filesystem::path& path);

/// All bundled device profiles, ordered by id.
Result<std::vector<DeviceProfile>> bundledDevices(const Session& session);

/// One profile: by id, or a profile file of one's own by its path (*.json).
Result<DeviceProfile> findDevice(const Session& session, const std::string& name);

}  // namespace quantloupe::cli
