// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/recipe.h"

#include "core/base/glob.h"
#include "core/recipes/name_patterns.h"

#include <algorithm>

namespace quantloupe {
namespace {

/// What weight-only quantization leaves alone by custom: small tensors that everything passes through, and the two
/// tables (embedding, output head) that tools treat apart. They are written into the recipe, where they can be struck.
bool keptByCustom(TensorRole role)
{
    switch (role) {
    case TensorRole::Embedding:
    case TensorRole::Position:
    case TensorRole::LmHead:
    case TensorRole::Router:
    case TensorRole::Norm:
    case TensorRole::Bias: return true;
    default: return false;
    }
}

}  // namespace

Recipe Recipe::uniform(const Scheme& scheme, const ModelCatalog& model)
{
    Recipe recipe;
    recipe.architecture = model.config.architecture;
    recipe.fingerprint = model.fingerprint;
    recipe.parameters = model.parameters();
    recipe.defaultPlan.weights = scheme;

    // Short globs where they catch nothing else, in the order of the contract's example: norms first, the head last.
    for (const auto* glob : {"*norm*", "*.ln_*", "ln_*", "*bias"}) {
        std::size_t matches = 0;
        const bool clean = std::all_of(model.tensors.begin(), model.tensors.end(), [&](const CatalogTensor& tensor) {
            if (!globMatches(glob, tensor.name))
                return true;
            ++matches;
            return keptByCustom(tensor.parts.role);
        });
        if (clean && matches > 0)
            recipe.keep.emplace_back(glob);
    }
    std::vector<std::string> tables;
    for (const auto& tensor : model.tensors) {
        const bool matched = std::any_of(recipe.keep.begin(), recipe.keep.end(),
            [&](const std::string& glob) { return globMatches(glob, tensor.name); });
        if (!keptByCustom(tensor.parts.role) || matched)
            continue;
        auto pattern = familyPattern(tensor.name);
        const bool table = tensor.parts.role == TensorRole::Embedding || tensor.parts.role == TensorRole::LmHead;
        auto& list = table ? tables : recipe.keep;
        if (std::find(list.begin(), list.end(), pattern) == list.end())
            list.push_back(std::move(pattern));
    }
    recipe.keep.insert(recipe.keep.end(), tables.begin(), tables.end());
    return recipe;
}

}  // namespace quantloupe
