// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDockWidget>

class QLabel;
class QTableView;
class QToolButton;
class RecipeRulesModel;
class Workbench;

/// The recipe as rules, what it comes to, and the history of its edits.
class RecipeDock final : public QDockWidget
{
    Q_OBJECT
public:
    explicit RecipeDock(Workbench* workbench, QWidget* parent = nullptr);

    RecipeRulesModel* model() const { return m_model; }
    QTableView* view() const { return m_view; }

Q_SIGNALS:
    void loadRequested();
    void saveRequested();

protected:
    void resizeEvent(QResizeEvent* event) override;

private:
    QToolButton* makeButton(const QString& icon, const QString& text);
    void refresh();
    void updateButtons();
    int currentRow() const;

    Workbench* m_workbench;
    RecipeRulesModel* m_model;
    QTableView* m_view;
    QLabel* m_totals;
    QToolButton* m_add;
    QToolButton* m_keep;
    QToolButton* m_remove;
    QToolButton* m_up;
    QToolButton* m_down;
    QToolButton* m_load;
    QToolButton* m_save;
};
