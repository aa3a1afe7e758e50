// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/recipe.h"

#include <optional>
#include <string>
#include <vector>

/// The recipe after the named tensors were given a scheme, or are kept as stored (nullopt). Other tensors resolve as
/// before. Written short: where the tensors are all that a name with its block number left open matches, one rule with
/// `*` in place of the number; else one rule per tensor. Older rules for exactly these names go.
quantloupe::Recipe withScheme(const quantloupe::Recipe& recipe, const quantloupe::ModelCatalog& model,
    const std::vector<std::string>& tensors, const std::optional<quantloupe::Scheme>& scheme);

/// The tensor's name with its block number replaced by `*`; the name itself where it has none.
std::string blockPattern(const std::string& tensor);
