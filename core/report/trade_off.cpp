// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/trade_off.h"

#include <algorithm>

namespace quantloupe {

std::vector<std::string> keptGlobs(const StudySnapshot& study, const Recipe* recipe)
{
    return recipe ? recipe->keep : Recipe::uniform(Scheme {}, study.model).keep;
}

std::vector<TradeOffPoint> uniformPoints(
    const StudySnapshot& study, const std::vector<std::string>& keep, ErrorMetric metric)
{
    std::vector<TradeOffPoint> points;
    for (const std::string& text : study.schemes()) {
        const auto scheme = Scheme::parse(text);
        if (!scheme)
            continue;
        // The same tensors kept as in the recipe: otherwise the points would not be alternatives to it.
        Recipe uniform = Recipe::uniform(*scheme, study.model);
        uniform.keep = keep;
        points.push_back(placeOf(uniform, study, text, metric));
    }
    std::stable_sort(points.begin(), points.end(),
        [](const TradeOffPoint& left, const TradeOffPoint& right) { return left.bytes < right.bytes; });
    return points;
}

TradeOffPicture tradeOffPicture(const StudySnapshot& study, const Recipe* recipe)
{
    TradeOffPicture picture;
    picture.metric = bestMetric(study);
    const std::vector<std::string> keep = keptGlobs(study, recipe);
    picture.uniform = uniformPoints(study, keep, picture.metric);
    if (auto found = frontier(study, {}, keep, picture.metric))
        picture.frontier = std::move(*found);
    if (recipe)
        picture.current = placeOf(*recipe, study, "recipe", picture.metric);
    return picture;
}

std::vector<std::size_t> evenlySpread(std::size_t size, std::size_t count)
{
    std::vector<std::size_t> indices;
    if (size == 0 || count == 0)
        return indices;
    if (size <= count) {
        for (std::size_t i = 0; i < size; ++i)
            indices.push_back(i);
        return indices;
    }
    if (count == 1)
        return {0};
    for (std::size_t i = 0; i < count; ++i)
        indices.push_back(i * (size - 1) / (count - 1));
    return indices;
}

}  // namespace quantloupe
