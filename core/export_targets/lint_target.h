// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/export_targets/export_target.h"
#include "core/recipes/lint.h"

namespace quantloupe {

/// What a tool would make of a recipe otherwise than it says: what its format cannot express, what it loses, and, where
/// its files can be read back, every tensor that its own rules of precedence and matching give another scheme.
std::vector<LintFinding> lintAgainst(const ExportTarget& target, const Recipe& recipe, const ModelCatalog& model);

}  // namespace quantloupe
