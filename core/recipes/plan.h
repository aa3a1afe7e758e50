// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"
#include "core/recipes/recipe.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace quantloupe {

/// What a recipe comes to for one tensor.
struct PlannedTensor {
    std::size_t tensor = 0;        ///< index into the catalog's tensors
    std::optional<Scheme> scheme;  ///< absent: kept as stored
    std::uint64_t bytes = 0;       ///< exact, scales and padding included; 0 for a tied output head
    /// What the layer's inputs become; absent: they stay floating (weight-only).
    std::optional<Scheme> activations {};
    bool operator==(const PlannedTensor&) const = default;
};

/// A recipe resolved against a model: every tensor once, in file order.
struct Plan {
    std::vector<PlannedTensor> tensors;
    std::uint64_t bytes = 0;      ///< of all tensors
    std::uint64_t baseBytes = 0;  ///< as stored in the checkpoint, tied embeddings counted once
    std::uint64_t quantizedParameters = 0;
    double bitsPerWeight = 0.0;  ///< bytes × 8 over all parameters, kept tensors included, tied ones once
    bool operator==(const Plan&) const = default;
};

/// Each tensor takes the default, then the last rule whose glob matches; `keep` wins over both, and tensors that cannot
/// be quantized stay as stored. Inputs take the rule's own activation scheme, else the recipe's.
Plan resolve(const Recipe& recipe, const ModelCatalog& model);

/// What the recipe says for each tensor, in file order; absent: kept as stored. The part of resolve() without bytes.
std::vector<std::optional<LayerPlan>> decide(const Recipe& recipe, const ModelCatalog& model);

/// Index of an output head that is stored although the configuration ties it to the embedding: the same matrix a second
/// time, which loaders drop. It takes the embedding's scheme and no bytes. nullopt where there is no such copy.
std::optional<std::size_t> tiedHead(const ModelCatalog& model);

}  // namespace quantloupe
