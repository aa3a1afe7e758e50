// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"
#include "widgets/plots/plot.h"

#include <vector>

/// Bytes of all tensors of one role.
struct RoleSize {
    quantloupe::TensorRole role = quantloupe::TensorRole::Other;
    std::uint64_t storedBytes = 0;  ///< as in the checkpoint
    std::uint64_t recipeBytes = 0;  ///< under the recipe
    std::size_t tensors = 0;
    bool operator==(const RoleSize&) const = default;
};

/// Sums by role, in the order of rolesInOrder(); roles without tensors left out.
/// @pre the plan was resolved against this catalog
std::vector<RoleSize> sizesByRole(const quantloupe::ModelCatalog& catalog, const quantloupe::Plan& plan);

/// Where a model's bytes are: two stacked bars, as stored and under the recipe, by role.
class SizeByRolePlot final : public Plot
{
    Q_OBJECT
public:
    explicit SizeByRolePlot(QWidget* parent = nullptr);

    /// Without a recipe there is one bar alone, and recipeBytes are not looked at.
    void setSizes(std::vector<RoleSize> sizes, bool withRecipe = true);
    PlotTable table() const override;

Q_SIGNALS:
    void roleClicked(quantloupe::TensorRole role);

protected:
    QString hoverText(QPointF position) const override;
    void clicked(QPointF position) override;
    void applyTheme() override;
    void resetView() override;

private:
    const RoleSize* sizeAt(QPointF position, bool* stored) const;
    double largestTotal() const;

    std::vector<RoleSize> m_sizes;
    bool m_withRecipe = true;
};
