// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/pages/log_scale.h"

#include <QWidget>

class FrontierBudget;
class QLabel;
class QSlider;
class Workbench;

/// A size for the whole model, in bits per weight. Moving it slides along the frontier of mixed precision and rewrites
/// the recipe while it moves; one drag is one undo step. Off until something was measured.
class BudgetSlider final : public QWidget
{
    Q_OBJECT
public:
    explicit BudgetSlider(Workbench* workbench, QWidget* parent = nullptr);

    QSlider* slider() const { return m_slider; }
    bool isReady() const;

private:
    void showRecipe();
    void onMoved();
    LogScale scale() const;

    Workbench* m_workbench;
    FrontierBudget* m_budget;
    QSlider* m_slider;
    QLabel* m_label;
};
