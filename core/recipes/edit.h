// SPDX-License-Identifier: GPL-3.0-or-later
// Edits of a recipe as functions from recipe to recipe: the window's undo keeps the old value.
#pragma once

#include "core/recipes/plan.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// The recipe under which the named tensors get `scheme` (absent: stay as stored) and every other tensor of the model
/// what it had. Rules of single tensors that this supersedes go; role and block globs are used where they say the same
/// in fewer lines. Names that the model does not hold, or that cannot be quantized, are ignored.
Recipe setScheme(const Recipe& recipe, const ModelCatalog& model, std::span<const std::string> tensors,
    const std::optional<Scheme>& scheme);

/// A short recipe that gives each tensor exactly the plan at its index (absent: as stored). The most common plan (by
/// parameters) becomes the default. Everything that no tensor decides comes from `base`.
Recipe recipeFor(const ModelCatalog& model, const std::vector<std::optional<LayerPlan>>& plans, const Recipe& base);

/// Without the rules that change nothing for this model: those that later rules override everywhere and those that
/// repeat what holds anyway. Rules that match no tensor at all stay, they may be meant for another model.
Recipe simplified(const Recipe& recipe, const ModelCatalog& model);

/// How far a rule reaches in a model.
struct RuleReach {
    std::size_t matches = 0;  ///< quantizable tensors that the glob matches
    std::size_t decides = 0;  ///< of these, those for which this rule is the last word
    bool operator==(const RuleReach&) const = default;
};

/// One entry per rule, in the recipe's order.
std::vector<RuleReach> ruleReaches(const Recipe& recipe, const ModelCatalog& model);

/// "*.down_proj.weight → int8", for lists and undo texts.
std::string describeRule(const RecipeRule& rule);

}  // namespace quantloupe
