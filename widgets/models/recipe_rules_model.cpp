// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/recipe_rules_model.h"

#include "core/base/glob.h"
#include "core/recipes/edit.h"

#include <algorithm>
#include <utility>

void RecipeRulesModel::setRecipe(const quantloupe::Recipe& recipe, const quantloupe::ModelCatalog& catalog)
{
    std::vector<int> decides;
    int rest = 0;
    for (const auto& tensor : catalog.tensors)
        rest += tensor.quantizable;
    const auto quantizable = rest;
    // A tensor that several keep globs match counts for the first: the numbers add up.
    std::vector<char> kept(catalog.tensors.size(), 0);
    for (const auto& glob : recipe.keep) {
        int count = 0;
        for (std::size_t i = 0; i < catalog.tensors.size(); ++i)
            if (!kept[i] && catalog.tensors[i].quantizable && quantloupe::globMatches(glob, catalog.tensors[i].name)) {
                kept[i] = 1;
                ++count;
            }
        decides.push_back(count);
        rest -= count;
    }
    for (const auto& reach : quantloupe::ruleReaches(recipe, catalog)) {
        decides.push_back(static_cast<int>(reach.decides));
        rest -= static_cast<int>(reach.decides);
    }
    decides.insert(decides.begin(), std::clamp(rest, 0, quantizable));

    const auto empty = catalog.tensors.empty();
    const auto rows = [](const quantloupe::Recipe& r) { return r.keep.size() + r.rules.size(); };
    // Keep selection and editors where only cells changed.
    const auto sameRows =
        !empty && !m_empty && recipe.keep.size() == m_recipe.keep.size() && rows(recipe) == rows(m_recipe);
    if (!sameRows)
        beginResetModel();
    m_recipe = recipe;
    m_decides = std::move(decides);
    m_empty = empty;
    if (sameRows)
        Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, ColumnCount - 1));
    else
        endResetModel();
}

RecipeRulesModel::Row RecipeRulesModel::kindOf(int row) const
{
    if (row == 0)
        return Row::Default;
    return static_cast<std::size_t>(row) <= m_recipe.keep.size() ? Row::Keep : Row::Rule;
}

QString RecipeRulesModel::matchOf(int row) const
{
    switch (kindOf(row)) {
    case Row::Keep: return QString::fromStdString(m_recipe.keep[keepAt(row)]);
    case Row::Rule: return QString::fromStdString(m_recipe.rules[ruleAt(row)].match);
    default: return {};
    }
}

QString RecipeRulesModel::schemeOf(int row) const
{
    switch (kindOf(row)) {
    case Row::Default: return QString::fromStdString(m_recipe.defaultPlan.toString());
    case Row::Rule: return QString::fromStdString(m_recipe.rules[ruleAt(row)].plan.toString());
    default: return {};
    }
}

void RecipeRulesModel::addRule(const QString& match, const quantloupe::Scheme& scheme)
{
    auto recipe = m_recipe;
    recipe.rules.push_back({match.toStdString(), {scheme, m_recipe.defaultPlan.activations}});
    Q_EMIT edited(recipe, tr("Add rule %1").arg(match));
}

void RecipeRulesModel::addKeep(const QString& match)
{
    auto recipe = m_recipe;
    recipe.keep.push_back(match.toStdString());
    Q_EMIT edited(recipe, tr("Keep %1").arg(match));
}

void RecipeRulesModel::remove(const QList<int>& rows)
{
    auto sorted = rows;
    std::sort(sorted.begin(), sorted.end(), std::greater<> {});
    sorted.resize(std::distance(sorted.begin(), std::unique(sorted.begin(), sorted.end())));
    auto recipe = m_recipe;
    QStringList removed;
    for (const int row : std::as_const(sorted)) {
        if (row <= 0 || row >= rowCount())
            continue;
        removed << matchOf(row);
        if (kindOf(row) == Row::Keep)
            recipe.keep.erase(recipe.keep.begin() + static_cast<std::ptrdiff_t>(keepAt(row)));
        else
            recipe.rules.erase(recipe.rules.begin() + static_cast<std::ptrdiff_t>(ruleAt(row)));
    }
    if (!removed.isEmpty())
        Q_EMIT edited(recipe,
            removed.size() == 1 ? tr("Remove %1").arg(removed.first()) : tr("Remove %1 rules").arg(removed.size()));
}

bool RecipeRulesModel::canMove(int row, int step) const
{
    return row > 0 && row < rowCount() && row + step > 0 && row + step < rowCount() && kindOf(row) == Row::Rule
        && kindOf(row + step) == Row::Rule;
}

bool RecipeRulesModel::move(int row, int step)
{
    if (!canMove(row, step))
        return false;
    auto recipe = m_recipe;
    std::swap(recipe.rules[ruleAt(row)], recipe.rules[ruleAt(row + step)]);
    Q_EMIT edited(recipe, tr("Move rule %1").arg(matchOf(row)));
    return true;
}

int RecipeRulesModel::rowCount(const QModelIndex& parent) const
{
    if (parent.isValid() || m_empty)
        return 0;
    return static_cast<int>(1 + m_recipe.keep.size() + m_recipe.rules.size());
}

int RecipeRulesModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant RecipeRulesModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid))
        return {};
    const auto kind = kindOf(index.row());
    const auto decides = m_decides[static_cast<std::size_t>(index.row())];
    if (role == KindRole)
        return static_cast<int>(kind);
    if (role == ValueRole)
        return decides;
    if (role == Qt::TextAlignmentRole)
        return index.column() == Tensors ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant();
    if (role == Qt::ToolTipRole) {
        switch (kind) {
        case Row::Default: return tr("For every quantizable tensor that nothing below names.");
        case Row::Keep: return tr("Stays as stored, whatever the rules say. Quantizable tensors: %1.").arg(decides);
        case Row::Rule:
            return decides > 0 ? tr("Tensors it decides: %1. The last rule that matches wins.").arg(decides)
                               : tr("Decides nothing: no tensor matches, or later rules do.");
        }
    }
    if (role != Qt::DisplayRole && role != Qt::EditRole)
        return {};
    switch (index.column()) {
    case Kind: return kind == Row::Default ? tr("default") : kind == Row::Keep ? tr("keep") : tr("rule");
    case Match: return kind == Row::Default && role == Qt::DisplayRole ? tr("everything else") : matchOf(index.row());
    case Scheme: return kind == Row::Keep && role == Qt::DisplayRole ? tr("as stored") : schemeOf(index.row());
    case Tensors: return decides;
    default: return {};
    }
}

bool RecipeRulesModel::setData(const QModelIndex& index, const QVariant& value, int role)
{
    if (role != Qt::EditRole || !(flags(index) & Qt::ItemIsEditable))
        return false;
    const auto text = value.toString().trimmed();
    if (text == data(index, Qt::EditRole).toString())
        return true;
    auto recipe = m_recipe;
    const auto kind = kindOf(index.row());
    if (index.column() == Scheme) {
        const auto plan = quantloupe::LayerPlan::parse(text.toStdString());
        if (!plan) {
            Q_EMIT refused(QString::fromStdString(describe(plan.error())));
            return false;
        }
        (kind == Row::Default ? recipe.defaultPlan : recipe.rules[ruleAt(index.row())].plan) = *plan;
        Q_EMIT edited(
            recipe, kind == Row::Default ? tr("Default %1").arg(text) : tr("%1 → %2").arg(matchOf(index.row()), text));
        return true;
    }
    if (text.isEmpty()) {
        Q_EMIT refused(tr("A rule needs a tensor name or a pattern with *."));
        return false;
    }
    (kind == Row::Keep ? recipe.keep[keepAt(index.row())] : recipe.rules[ruleAt(index.row())].match) =
        text.toStdString();
    Q_EMIT edited(recipe, tr("Rename %1 to %2").arg(matchOf(index.row()), text));
    return true;
}

Qt::ItemFlags RecipeRulesModel::flags(const QModelIndex& index) const
{
    auto flags = QAbstractTableModel::flags(index);
    if (!index.isValid())
        return flags;
    const auto kind = kindOf(index.row());
    if ((index.column() == Match && kind != Row::Default) || (index.column() == Scheme && kind != Row::Keep))
        flags |= Qt::ItemIsEditable;
    return flags | Qt::ItemNeverHasChildren;
}

QVariant RecipeRulesModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation == Qt::Horizontal && role == Qt::TextAlignmentRole)
        return QVariant((section == Tensors ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole)
        return QAbstractTableModel::headerData(section, orientation, role);
    switch (section) {
    case Kind: return tr("Kind");
    case Match: return tr("Tensors");
    case Scheme: return tr("Scheme");
    case Tensors: return tr("Decides");
    default: return {};
    }
}
