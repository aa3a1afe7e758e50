// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"

#include <QWidget>

#include <optional>

class FrontierBudget;
class PlanChangesModel;
class QLabel;
class QTableView;
class TradeOffPlot;
class Workbench;

/// Size against error: the budget moves along the frontier and rewrites the recipe at once; a list tells which tensors
/// went up or down.
class TradeOffPage final : public QWidget
{
    Q_OBJECT
public:
    explicit TradeOffPage(Workbench* workbench, QWidget* parent = nullptr);

protected:
    void showEvent(QShowEvent* event) override;
    void hideEvent(QHideEvent* event) override;

private:
    QWidget* makeChanges();
    void showPicture();
    void showCurrent();
    void showSummary();
    void showChanges();

    Workbench* m_workbench;
    FrontierBudget* m_budget;
    TradeOffPlot* m_plot;
    QLabel *m_summary, *m_changesTitle;
    PlanChangesModel* m_changes;
    QTableView* m_changesView;
    /// The recipe before the last step of the undo history, which the list compares with.
    std::optional<quantloupe::Plan> m_before, m_last;
    int m_undoIndex = 0;
};
