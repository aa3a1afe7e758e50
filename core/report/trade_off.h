// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/allocation.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// Everything the trade-off picture shows, found from a study alone.
struct TradeOffPicture {
    std::vector<TradeOffPoint> uniform;  ///< one per measured scheme, ascending bytes; error NaN where incomplete
    ErrorMetric metric = ErrorMetric::ModelError;  ///< what errors are: the best that is known
    Frontier frontier;                             ///< no points when nothing was measured
    std::optional<TradeOffPoint> current;          ///< the recipe, when there is one
    /// The frontier of tensors that each choose for themselves, where some are kept together for runtimes that fuse
    /// them; no points where none are.
    std::vector<FrontierPoint> apart {};
};

/// What keeping fused tensors together costs at a size: the least error of recipes that do, and of those that do not.
struct FusionCost {
    double together = 0.0, apart = 0.0;
};
/// nullopt: nothing is kept together, or nothing is so small.
std::optional<FusionCost> fusionCost(const TradeOffPicture& picture, std::uint64_t bytes);

/// What uniform recipes and the frontier leave as stored: the recipe's own choice, or that of Recipe::uniform().
std::vector<std::string> keptGlobs(const StudySnapshot& study, const Recipe* recipe);

/// One point per measured scheme, ascending bytes, with the same tensors kept: alternatives to a recipe.
std::vector<TradeOffPoint> uniformPoints(
    const StudySnapshot& study, const std::vector<std::string>& keep, ErrorMetric metric);

/// `recipe` may be null. Never fails: a study without measurements gives an empty picture.
TradeOffPicture tradeOffPicture(const StudySnapshot& study, const Recipe* recipe);

/// At most `count` indices spread evenly over [0, size), the first and the last among them.
std::vector<std::size_t> evenlySpread(std::size_t size, std::size_t count);

}  // namespace quantloupe
