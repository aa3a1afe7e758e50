// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/cli/output.h"
#include "app/cli/session.h"

#include "core/model/model.h"

#include <string>
#include <vector>

namespace quantloupe::cli {

/// The model of a command with what --imatrix says of its tensors.
struct WeighedModel {
    ModelPointer model;
    Json imatrix = nullptr;                ///< which matrix, for the result; null without one
    std::vector<std::string> warnings {};  ///< plain sentences
};

/// --imatrix.
void addImportanceOption(CLI::App& command, std::string& file);

/// The model itself where `file` is empty. Errors: as readImportanceMatrix().
Result<WeighedModel> weighModel(const Session& session, const std::string& file, const ModelPointer& model);

}  // namespace quantloupe::cli
