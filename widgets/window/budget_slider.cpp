// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/budget_slider.h"

#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QSlider>
#include <QTimer>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace {

constexpr int steps = 1000;
const QString frontierView = QStringLiteral("budget/frontier");
const QString recipeView = QStringLiteral("budget/recipe");

/// Merge ids of the undo stack: one per drag, apart from those that others choose.
int nextMergeId()
{
    static int id = 1'000'000;
    return ++id;
}

}  // namespace

BudgetSlider::BudgetSlider(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_slider(new QSlider(Qt::Horizontal))
    , m_label(new QLabel)
    , m_pause(new QTimer(this))
    , m_mergeId(nextMergeId())
{
    m_slider->setObjectName(QStringLiteral("budget"));
    m_slider->setRange(0, steps);
    m_slider->setPageStep(steps / 20);
    m_slider->setSingleStep(steps / 100);
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

    m_pause->setSingleShot(true);
    m_pause->setInterval(std::chrono::milliseconds(300));
    connect(m_pause, &QTimer::timeout, this, &BudgetSlider::computeFrontier);
    connect(m_slider, &QSlider::sliderPressed, this, [this] { m_mergeId = nextMergeId(); });
    connect(m_slider, &QSlider::sliderReleased, this, [this] { m_mergeId = nextMergeId(); });
    connect(m_slider, &QSlider::valueChanged, this, &BudgetSlider::onMoved);
    connect(m_workbench, &Workbench::modelChanged, this, [this] {
        m_frontier.reset();
        m_mergeId = nextMergeId();
        m_moving = false;
        m_chosenKeep.clear();
        m_workbench->jobs()->cancel(recipeView);
        showRecipe();
        Q_EMIT readyChanged();
    });
    connect(m_workbench, &Workbench::studyChanged, this, &BudgetSlider::scheduleFrontier);
    connect(m_workbench, &Workbench::recipeChanged, this, [this] {
        if (keep() != m_keep)
            scheduleFrontier();
        showRecipe();
    });
    showRecipe();
}

std::vector<std::string> BudgetSlider::keep() const
{
    const auto& current = m_workbench->recipe().keep;
    const auto found = m_chosenKeep.find(current);
    return found == m_chosenKeep.end() ? current : found->second;
}

void BudgetSlider::scheduleFrontier()
{
    // Not restarted by every snapshot of a sweep, or it would never come to it.
    if (!m_pause->isActive())
        m_pause->start();
}

void BudgetSlider::computeFrontier()
{
    if (!m_workbench->hasModel() || m_workbench->study()->measurements.empty())
        return;
    m_workbench->jobs()->compute<quantloupe::Frontier>(
        this, {tr("Frontier"), frontierView, false},
        [study = m_workbench->study(), keep = keep()](
            std::stop_token, quantloupe::Progress&) { return quantloupe::frontier(*study, {}, keep); },
        [this, keep = keep()](quantloupe::Result<quantloupe::Frontier> frontier) {
            m_frontier = frontier && frontier->points.size() > 1
                ? std::make_shared<const quantloupe::Frontier>(std::move(*frontier))
                : nullptr;
            m_keep = keep;
            showRecipe();
            Q_EMIT readyChanged();
        });
}

std::uint64_t BudgetSlider::bytesAt(int position) const
{
    if (position >= steps)
        return m_frontier->points.back().bytes;
    // Even in ratios: the interesting end is near the smallest sizes, the other end is the model as stored.
    const auto least = static_cast<double>(m_frontier->points.front().bytes);
    const auto most = static_cast<double>(m_frontier->points.back().bytes);
    return static_cast<std::uint64_t>(std::ceil(least * std::pow(most / least, position / static_cast<double>(steps))));
}

int BudgetSlider::positionOf(std::uint64_t bytes) const
{
    const auto least = static_cast<double>(m_frontier->points.front().bytes);
    const auto most = static_cast<double>(m_frontier->points.back().bytes);
    const auto size = std::clamp(static_cast<double>(bytes), least, most);
    return most > least ? static_cast<int>(std::lround(steps * std::log(size / least) / std::log(most / least))) : 0;
}

void BudgetSlider::showRecipe()
{
    m_slider->setEnabled(m_frontier != nullptr);
    m_label->setText(
        m_workbench->hasModel() ? format::bitsPerWeight(m_workbench->plan().bitsPerWeight) : format::none());
    if (!m_frontier || m_moving || m_slider->isSliderDown())
        return;
    const QSignalBlocker blocker(m_slider);
    m_slider->setValue(positionOf(m_workbench->plan().bytes));
}

void BudgetSlider::onMoved()
{
    if (!m_frontier)
        return;
    const auto point = m_frontier->at(bytesAt(m_slider->value()));
    if (!point)
        return;
    m_label->setText(format::bitsPerWeight(m_frontier->points[*point].bitsPerWeight));
    m_moving = true;
    // The base carries what the frontier does not decide: kept tensors, activations, notes.
    auto base = m_workbench->recipe();
    base.keep = m_keep;
    auto* job = m_workbench->jobs()->compute<quantloupe::Recipe>(
        this, {tr("Recipe for a budget"), recipeView, false},
        [frontier = m_frontier, study = m_workbench->study(), base, point](std::stop_token, quantloupe::Progress&)
            -> quantloupe::Result<quantloupe::Recipe> { return quantloupe::recipeAt(*frontier, *point, *study, base); },
        [this, mergeId = m_mergeId](const quantloupe::Result<quantloupe::Recipe>& recipe) {
            if (!recipe)
                return;
            m_chosenKeep[recipe->keep] = m_keep;
            m_workbench->setRecipe(*recipe, tr("Budget"), mergeId);
        });
    connect(job, &Job::ended, this, [this] { m_moving = m_workbench->jobs()->isActive(recipeView); });
}
