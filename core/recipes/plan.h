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
    std::size_t tensor = 0;           ///< index into the catalog's tensors
    std::optional<Scheme> scheme;     ///< absent: kept as stored
    std::uint64_t bytes = 0;          ///< exact, scales and padding included
    bool operator==(const PlannedTensor&) const = default;
};

/// A recipe resolved against a model: every tensor once, in file order.
struct Plan {
    std::vector<PlannedTensor> tensors;
    std::uint64_t bytes = 0;                 ///< of all tensors
    std::uint64_t baseBytes = 0;             ///< as stored in the checkpoint
    std::uint64_t quantizedParameters = 0;
    double bitsPerWeight = 0.0;              ///< bytes × 8 over all parameters, kept tensors included
    bool operator==(const Plan&) const = default;
};

Plan resolve(const Recipe& recipe, const ModelCatalog& model);

}  // namespace quantloupe
