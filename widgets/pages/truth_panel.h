// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class FrontierBudget;
class QLabel;
class QPushButton;
class RecipeTruth;
class TruthPlot;
class Workbench;

/// Prediction and truth of the recipe: measured on a text when asked, better recipes of its size searched for, and the
/// best of them adopted.
class TruthPanel final : public QWidget
{
    Q_OBJECT
public:
    TruthPanel(Workbench* workbench, FrontierBudget* budget, QWidget* parent = nullptr);

private:
    void ask(bool search);
    void adopt();
    void follow();  ///< the recipe, which may no longer be what was measured
    void enable();
    void show();
    bool isCurrent() const;  ///< what was measured is the recipe

    Workbench* m_workbench;
    FrontierBudget* m_budget;
    RecipeTruth* m_truth;
    TruthPlot* m_plot;
    QLabel* m_summary;
    QPushButton *m_measure, *m_search, *m_adopt;
    bool m_shownAsCurrent = false;
};
