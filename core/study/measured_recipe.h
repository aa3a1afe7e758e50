// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/recipe.h"
#include "core/study/measurement.h"

#include <cstdint>
#include <string>

namespace quantloupe {

/// What a whole recipe really does to the predictions of a text, by its weights alone.
struct MeasuredRecipe {
    Recipe recipe;
    std::string textName {};           ///< of the file, for people; the text itself is divergence.text
    std::uint64_t calibration = 0;     ///< fingerprint of the inputs that its algorithms went by; 0: by none
    MeasuredDivergence divergence {};  ///< of the recipe from the model as stored

    bool operator==(const MeasuredRecipe&) const = default;

    /// Whether the other one is a measurement of the same thing, which it then replaces.
    bool isOfTheSame(const MeasuredRecipe& other) const
    {
        return divergence.text == other.divergence.text && calibration == other.calibration && recipe == other.recipe;
    }
};

}  // namespace quantloupe
