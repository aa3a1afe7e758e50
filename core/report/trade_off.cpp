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

std::optional<FusionCost> fusionCost(const TradeOffPicture& picture, std::uint64_t bytes)
{
    const auto below = [bytes](const std::vector<FrontierPoint>& points) -> const FrontierPoint* {
        const auto above = std::upper_bound(points.begin(), points.end(), bytes,
            [](std::uint64_t limit, const FrontierPoint& point) { return limit < point.bytes; });
        return above == points.begin() ? nullptr : &*(above - 1);
    };
    const auto *together = below(picture.frontier.points), *apart = below(picture.apart);
    return together && apart ? std::optional(FusionCost {together->error, apart->error}) : std::nullopt;
}

TradeOffPicture tradeOffPicture(const StudySnapshot& study, const Recipe* recipe)
{
    TradeOffPicture picture;
    picture.metric = bestMetric(study);
    const std::vector<std::string> keep = keptGlobs(study, recipe);
    picture.uniform = uniformPoints(study, keep, picture.metric);
    if (auto found = frontier(study, {}, keep, picture.metric))
        picture.frontier = std::move(*found);
    const auto& groups = picture.frontier.groups;
    if (std::any_of(groups.begin(), groups.end(), [](const auto& group) { return group.tensors.size() > 1; }))
        if (auto apart = frontier(study, {}, keep, picture.metric, Fused::Apart))
            picture.apart = std::move(apart->points);
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
