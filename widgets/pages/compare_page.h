// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/models/audit_model.h"

#include <QWidget>

class DumbbellPlot;
class QLabel;
class QPushButton;
class QSortFilterProxyModel;
class QStackedWidget;
class QTableView;
class QToolButton;
class RecipeComparison;
class Workbench;

/// The open model beside somebody's quantized checkpoint of it: the error of each layer, what it is stored as, and how
/// far that is from the best of our schemes of the same size. Or the recipe beside another (recipe_comparison.h).
class ComparePage final : public QWidget
{
    Q_OBJECT
public:
    explicit ComparePage(Workbench* workbench, QWidget* parent = nullptr);

    /// Starts an audit of the checkpoint (file, shard index or folder); what was shown stays until it is done.
    void compareWith(const QString& path);

private:
    QWidget* makeResult();
    QToolButton* makeRecipeButton();
    void offerRecipes();  ///< fills the button's menu
    void chooseRecipeFile();
    void showRecipes();
    void showModel();
    void clear(const QString& text);  ///< instead of a result
    void showResult(const QString& path, const AuditPointer& audit);
    void showSelection();
    void chooseFile();
    void chooseFolder();
    void saveTable();
    QString summary(const quantloupe::Audit& audit) const;

    Workbench* m_workbench;
    QStackedWidget* m_stack;
    QLabel *m_empty, *m_checkpoint, *m_summary;
    QPushButton *m_file, *m_folder, *m_save;
    QToolButton* m_recipe;
    RecipeComparison* m_recipes;
    DumbbellPlot* m_plot;
    AuditModel* m_audit;
    QSortFilterProxyModel* m_sorted;
    QTableView* m_table;
};
