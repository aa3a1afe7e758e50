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
    void show();

    Workbench* m_workbench;
    RecipeTruth* m_truth;
    TruthPlot* m_plot;
    QLabel* m_summary;
    QPushButton *m_measure, *m_search, *m_adopt;
};
