// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/recipe_tables.h"

#include "core/study/study_schema.h"

#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace quantloupe {
namespace {

constexpr const char* kRecipes = "/recipes";

template<class T>
std::vector<T> columnOf(const MeasuredRecipes& recipes, T MeasuredDivergence::*member)
{
    std::vector<T> values;
    for (const auto& measured : recipes)
        values.push_back(measured->divergence.*member);
    return values;
}

}  // namespace

bool writeMeasuredRecipes(hid_t file, const MeasuredRecipes& recipes)
{
    if (recipes.empty())
        return true;
    hdf5::GroupWriter group(file, kRecipes);
    std::vector<std::string> texts, names;
    std::vector<std::uint64_t> calibrations;
    for (const auto& measured : recipes) {
        texts.push_back(measured->recipe.toJson());
        names.push_back(measured->textName);
        calibrations.push_back(measured->calibration);
    }
    group.texts("recipe", texts, {"", "native recipe, JSON"});
    group.texts("text_name", names, {"", "text that it was measured on"});
    group.numbers<std::uint64_t>(
        "calibration", calibrations, {"1", "fingerprint of the inputs that its algorithms went by; 0: by none"});
    for (const auto& column : study_schema::kDivergenceColumns)
        std::visit(
            [&](auto member) {
                const auto values = columnOf(recipes, member);
                group.numbers<typename decltype(values)::value_type>(column.name, values, column.meaning);
            },
            column.member);
    return group.good();
}

tl::expected<MeasuredRecipes, std::string> readMeasuredRecipes(hid_t file, std::uint64_t bytes)
{
    MeasuredRecipes recipes;
    if (H5Lexists(file, kRecipes, H5P_DEFAULT) <= 0)
        return recipes;
    hdf5::GroupReader group(file, kRecipes, bytes);
    const auto texts = group.texts("recipe");
    auto names = group.texts("text_name");
    const auto calibrations = group.numbers<std::uint64_t>("calibration");
    std::vector<MeasuredRecipe> all(texts.size());
    const auto fits = [&](const char* name, std::size_t size) {
        if (group.good() && size != all.size())
            group.fail(name, "has another length than its table");
        return group.good();
    };
    if (fits("text_name", names.size()) && fits("calibration", calibrations.size()))
        for (std::size_t i = 0; i < all.size(); ++i) {
            auto recipe = Recipe::fromJson(texts[i], kRecipes);
            if (!recipe) {
                group.fail("recipe", recipe.error().reason);
                break;
            }
            all[i].recipe = std::move(*recipe);
            all[i].textName = std::move(names[i]);
            all[i].calibration = calibrations[i];
        }
    for (const auto& column : study_schema::kDivergenceColumns)
        std::visit(
            [&](auto member) {
                using Number = std::remove_cvref_t<decltype(std::declval<MeasuredDivergence&>().*member)>;
                const auto values = group.numbers<Number>(column.name);
                for (std::size_t i = 0; fits(column.name, values.size()) && i < all.size(); ++i)
                    all[i].divergence.*member = values[i];
            },
            column.member);
    if (!group.good())
        return tl::unexpected(group.problem());
    for (auto& measured : all)
        recipes.push_back(std::make_shared<const MeasuredRecipe>(std::move(measured)));
    return recipes;
}

}  // namespace quantloupe
