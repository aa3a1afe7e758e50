// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"
#include "core/recipes/plan.h"
#include "core/schemes/scheme.h"

#include <string>

namespace quantloupe::tests {

/// Every layer's weights and inputs by one notation ("int8:channel/int8:token"), but for what Recipe::uniform keeps.
inline Plan uniformPlan(const Model& model, const std::string& notation)
{
    const auto catalog = catalogOf(model);
    const auto layer = LayerPlan::parse(notation).value();
    auto recipe = Recipe::uniform(layer.weights, catalog);
    recipe.activations = layer.activations;
    return resolve(recipe, catalog);
}

}  // namespace quantloupe::tests
