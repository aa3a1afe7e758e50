// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/catalog.h"
#include "core/schemes/scheme.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// One rule: tensors whose name matches the glob get the plan. The last matching rule wins.
struct RecipeRule {
    std::string match;  ///< glob; `*` crosses dots
    LayerPlan plan;
    bool operator==(const RecipeRule&) const = default;
};

/// What to do with every tensor of a model: the native recipe, `*.recipe.json`.
struct Recipe {
    std::string architecture;       ///< of the model it was made for; may be empty
    std::string fingerprint;        ///< likewise
    std::uint64_t parameters = 0;   ///< likewise
    LayerPlan defaultPlan;          ///< for every quantizable tensor that nothing else names
    std::vector<std::string> keep;  ///< globs of tensors that stay as stored; win over rules
    std::vector<RecipeRule> rules;
    std::optional<Scheme> activations, keyValueCache;
    std::string notes;

    bool operator==(const Recipe&) const = default;

    /// "keep norms and the output head, the rest by `scheme`", bound to `model`.
    static Recipe uniform(const Scheme& scheme, const ModelCatalog& model);
    /// Errors: InvalidArgument naming the key (unknown keys included), Unsupported for a newer version.
    static Result<Recipe> fromJson(std::string_view text, const std::string& where);
    std::string toJson() const;  ///< the fields of the contract, two-space indent, final line feed
};

}  // namespace quantloupe
