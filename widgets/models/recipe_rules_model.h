// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/recipe.h"

#include <QAbstractTableModel>

#include <vector>

/// A recipe as rows: the default, then what is kept as stored, then the rules in order (the last match wins), each with
/// how many tensors it decides. Edits do not change the model: the edited recipe leaves as a signal, becomes an undo
/// step, and comes back through setRecipe().
class RecipeRulesModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column { Kind, Match, Scheme, Tensors, ColumnCount };
    enum class Row { Default, Keep, Rule };
    static constexpr int ValueRole = Qt::UserRole;     ///< Tensors: how many the row decides
    static constexpr int KindRole = Qt::UserRole + 1;  ///< Row as int

    using QAbstractTableModel::QAbstractTableModel;

    void setRecipe(const quantloupe::Recipe& recipe, const quantloupe::ModelCatalog& catalog);
    const quantloupe::Recipe& recipe() const { return m_recipe; }

    /// Each asks for an edit; rows that it makes no sense for are left out.
    void addRule(const QString& match, const quantloupe::Scheme& scheme);
    void addKeep(const QString& match);
    void remove(const QList<int>& rows);
    /// Moves a rule up (−1) or down (+1). Whether it can be moved.
    bool move(int row, int step);
    bool canMove(int row, int step) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    bool setData(const QModelIndex& index, const QVariant& value, int role = Qt::EditRole) override;
    Qt::ItemFlags flags(const QModelIndex& index) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

Q_SIGNALS:
    void edited(const quantloupe::Recipe& recipe, const QString& text);
    /// What was written cannot be read.
    void refused(const QString& reason);

private:
    Row kindOf(int row) const;
    std::size_t keepAt(int row) const { return static_cast<std::size_t>(row - 1); }
    std::size_t ruleAt(int row) const { return static_cast<std::size_t>(row - 1) - m_recipe.keep.size(); }
    QString matchOf(int row) const;
    QString schemeOf(int row) const;

    quantloupe::Recipe m_recipe;
    std::vector<int> m_decides;  // per row
    bool m_empty = true;         // nothing was set yet: no rows
};
