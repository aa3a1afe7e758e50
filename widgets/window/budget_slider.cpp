// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/budget_slider.h"

#include "widgets/pages/frontier_budget.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSlider>

#include <cmath>
#include <cstdint>

BudgetSlider::BudgetSlider(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_budget(FrontierBudget::of(workbench))
    , m_slider(new QSlider(Qt::Horizontal))
    , m_label(new QLabel)
{
    m_slider->setObjectName(QStringLiteral("budget"));
    m_slider->setRange(0, LogScale::steps);
    m_slider->setPageStep(LogScale::steps / 20);
    m_slider->setSingleStep(LogScale::steps / 100);
    m_slider->setMinimumWidth(110);
    m_slider->setAccessibleName(tr("Budget in bits per weight"));
    m_label->setFont(tabularFont(font()));
    m_label->setObjectName(QStringLiteral("budgetText"));
    m_label->setMinimumWidth(m_label->fontMetrics().horizontalAdvance(format::bitsPerWeight(16.55)) + 4);
    auto* title = new QLabel(tr("Budget"));
    title->setBuddy(m_slider);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(4, 0, 4, 0);
    layout->addWidget(title);
    layout->addWidget(m_slider, 1);
    layout->addWidget(m_label);
    const auto toolTip =
        tr("Size of the whole model in bits per weight. Moving it chooses the scheme of every layer so "
           "that the weight error is least at that size, and rewrites the recipe. Kept tensors stay.");
    setToolTip(toolTip);
    m_slider->setToolTip(toolTip);

    m_budget->setActive(this, true);
    connect(m_slider, &QSlider::valueChanged, this, &BudgetSlider::onMoved);
    connect(m_slider, &QSlider::sliderReleased, m_budget, &FrontierBudget::endMove);
    connect(m_budget, &FrontierBudget::pictureChanged, this, &BudgetSlider::showRecipe);
    connect(m_workbench, &Workbench::modelChanged, this, &BudgetSlider::showRecipe);
    connect(m_workbench, &Workbench::recipeChanged, this, &BudgetSlider::showRecipe);
    showRecipe();
}

bool BudgetSlider::isReady() const
{
    return m_budget->isReady();
}

LogScale BudgetSlider::scale() const
{
    const auto& points = m_budget->picture()->frontier.points;
    return {static_cast<double>(points.front().bytes), static_cast<double>(points.back().bytes)};
}

void BudgetSlider::showRecipe()
{
    m_slider->setEnabled(isReady());
    m_label->setText(
        m_workbench->hasModel() ? format::bitsPerWeight(m_workbench->plan().bitsPerWeight) : format::none());
    // Not from under a moving hand, and not back while a younger recipe is on its way.
    if (!isReady() || m_slider->isSliderDown() || (m_slider->hasFocus() && m_budget->isMoving()))
        return;
    const QSignalBlocker blocker(m_slider);
    m_slider->setValue(scale().positionOf(static_cast<double>(m_workbench->plan().bytes)));
}

void BudgetSlider::onMoved()
{
    if (!isReady())
        return;
    m_budget->moveTo(static_cast<std::uint64_t>(std::ceil(scale().at(m_slider->value()))));
    if (!m_slider->isSliderDown())
        m_budget->endMove();
}
