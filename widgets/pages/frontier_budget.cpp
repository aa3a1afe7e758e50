// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/frontier_budget.h"

#include "widgets/workbench/job_list.h"
#include "widgets/workbench/workbench.h"

#include <chrono>

using quantloupe::Recipe;
using quantloupe::TradeOffPicture;
using quantloupe::TradeOffPoint;

namespace {

constexpr QLatin1String pictureView("trade-off/picture");
constexpr QLatin1String currentView("trade-off/current");
constexpr QLatin1String recipeView("trade-off/recipe");

/// Apart from the merge ids that other editors choose.
int nextMergeId()
{
    static int id = 2'000'000;
    return ++id;
}

}  // namespace

FrontierBudget::FrontierBudget(Workbench* workbench, QObject* parent)
    : QObject(parent)
    , m_workbench(workbench)
    , m_picture(std::make_shared<const TradeOffPicture>())
    , m_mergeId(nextMergeId())
{
    m_pause.setSingleShot(true);
    m_pause.setInterval(std::chrono::milliseconds(250));
    connect(&m_pause, &QTimer::timeout, this, &FrontierBudget::computePicture);
    connect(m_workbench, &Workbench::modelChanged, this, [this] {
        for (const auto view : {pictureView, currentView, recipeView})
            m_workbench->jobs()->cancel(view);
        m_picture = std::make_shared<const TradeOffPicture>();
        m_current.reset();
        m_ownKeep.clear();
        m_mergeId = nextMergeId();
        m_moving = false;
        schedulePicture();
        Q_EMIT pictureChanged();
    });
    connect(m_workbench, &Workbench::studyChanged, this, &FrontierBudget::schedulePicture);
    connect(m_workbench, &Workbench::recipeChanged, this, [this] {
        if (keep() != m_keep)
            schedulePicture();
        computeCurrent();
    });
}

FrontierBudget* FrontierBudget::of(Workbench* workbench)
{
    auto* budget = workbench->findChild<FrontierBudget*>({}, Qt::FindDirectChildrenOnly);
    return budget ? budget : new FrontierBudget(workbench, workbench);
}

void FrontierBudget::setActive(const QObject* user, bool active)
{
    if (active)
        m_users.insert(user);
    else
        m_users.remove(user);
    if (active && m_stale)
        computePicture();
}

std::vector<std::string> FrontierBudget::keep() const
{
    const auto& current = m_workbench->recipe().keep;
    const auto own = m_ownKeep.find(current);
    return own == m_ownKeep.end() ? current : own->second;
}

void FrontierBudget::schedulePicture()
{
    m_stale = true;
    // Not restarted by every snapshot of a sweep, or it would never come to it.
    if (!m_users.isEmpty() && !m_pause.isActive())
        m_pause.start();
}

void FrontierBudget::computePicture()
{
    m_stale = false;
    if (!m_workbench->hasModel())
        return;
    Recipe recipe = m_workbench->recipe();
    const Recipe actual = recipe;
    recipe.keep = keep();
    m_workbench->jobs()->compute<TradeOffPicture>(
        this, {tr("Trade-off"), pictureView, false},
        [study = m_workbench->study(), recipe, actual](
            std::stop_token, quantloupe::Progress&) -> quantloupe::Result<TradeOffPicture> {
            TradeOffPicture picture = quantloupe::tradeOffPicture(*study, &recipe);
            picture.current = quantloupe::placeOf(actual, *study, "recipe", picture.metric);
            return picture;
        },
        [this, keep = recipe.keep](quantloupe::Result<TradeOffPicture> picture) {
            if (!picture)
                return;
            m_picture = std::make_shared<const TradeOffPicture>(std::move(*picture));
            m_current = m_picture->current;
            m_keep = keep;
            Q_EMIT pictureChanged();
        });
}

void FrontierBudget::computeCurrent()
{
    if (m_users.isEmpty() || !m_workbench->hasModel())
        return;
    const auto metric = m_picture ? m_picture->metric : quantloupe::bestMetric(*m_workbench->study());
    m_workbench->jobs()->compute<TradeOffPoint>(
        this, {tr("Place of the recipe"), currentView, false},
        [study = m_workbench->study(), recipe = m_workbench->recipe(), metric](std::stop_token, quantloupe::Progress&)
            -> quantloupe::Result<TradeOffPoint> { return quantloupe::placeOf(recipe, *study, "recipe", metric); },
        [this](const quantloupe::Result<TradeOffPoint>& place) {
            if (!place)
                return;
            m_current = *place;
            Q_EMIT currentChanged();
        });
}

void FrontierBudget::moveTo(std::uint64_t bytes)
{
    if (!isReady())
        return;
    const auto point = m_picture->frontier.at(std::max(bytes, m_picture->frontier.points.front().bytes));
    if (point)
        move([point](const TradeOffPicture& picture, const quantloupe::StudySnapshot& study, const Recipe& base) {
            return quantloupe::Result<Recipe>(quantloupe::recipeAt(picture.frontier, *point, study, base));
        });
}

void FrontierBudget::moveWithin(const quantloupe::AllocationBudget& budget)
{
    if (!isReady())
        return;
    move([budget](const TradeOffPicture& picture, const quantloupe::StudySnapshot& study,
             const Recipe& base) -> quantloupe::Result<Recipe> {
        const auto limit = quantloupe::limitOf(budget, study.model, base);
        if (!limit)
            return tl::unexpected(limit.error());
        const auto allocation = quantloupe::allocateWithin(picture.frontier, study, *limit, quantloupe::quickSearch);
        if (!allocation)
            return tl::unexpected(allocation.error());
        return quantloupe::recipeOf(picture.frontier.groups, allocation->choice, study, base);
    });
}

void FrontierBudget::move(const Solve& solve)
{
    m_moving = true;
    // The base carries what the frontier does not decide: kept tensors, activations, notes.
    Recipe base = m_workbench->recipe();
    base.keep = m_keep;
    auto* job = m_workbench->jobs()->compute<Recipe>(
        this, {tr("Recipe for a budget"), recipeView, false},
        [picture = m_picture, study = m_workbench->study(), base, solve](
            std::stop_token, quantloupe::Progress&) { return solve(*picture, *study, base); },
        [this, mergeId = m_mergeId, keep = m_keep](const quantloupe::Result<Recipe>& recipe) {
            if (!recipe) {
                Q_EMIT refused(QString::fromStdString(recipe.error().reason));
                return;
            }
            m_ownKeep[recipe->keep] = keep;
            m_workbench->setRecipe(*recipe, tr("Budget"), mergeId);
        });
    connect(job, &Job::ended, this, [this] { m_moving = m_workbench->jobs()->isActive(recipeView); });
}

void FrontierBudget::endMove()
{
    m_mergeId = nextMergeId();
}

void FrontierBudget::adopt(const QString& scheme)
{
    const auto parsed = quantloupe::Scheme::parse(scheme.toStdString());
    if (!parsed)
        return;
    Recipe recipe = m_workbench->recipe();
    recipe.defaultPlan.weights = *parsed;
    recipe.rules.clear();
    recipe.keep = keep();
    m_workbench->setRecipe(recipe, tr("Adopt %1").arg(scheme));
}
