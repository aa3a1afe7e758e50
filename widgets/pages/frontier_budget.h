// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/report/budget.h"
#include "core/report/trade_off.h"

#include <QObject>
#include <QSet>
#include <QTimer>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

class Workbench;

/// The trade-off of the open model, kept up to date with study and recipe, and the moves along it. Everything is
/// computed in jobs; pages only draw what arrives.
class FrontierBudget final : public QObject
{
    Q_OBJECT
public:
    explicit FrontierBudget(Workbench* workbench, QObject* parent = nullptr);

    /// The one that everything in a window shares, made at first use: only so do the tool bar and the page know which
    /// kept tensors are the user's own choice.
    static FrontierBudget* of(Workbench* workbench);

    /// Never null; empty until something was measured.
    std::shared_ptr<const quantloupe::TradeOffPicture> picture() const { return m_picture; }
    /// Where the recipe lies now; younger than picture()->current.
    const std::optional<quantloupe::TradeOffPoint>& current() const { return m_current; }
    /// The kept tensors that are the user's own choice.
    std::vector<std::string> keep() const;
    /// There is a frontier to move along.
    bool isReady() const { return m_picture->frontier.points.size() > 1; }

    /// Whether somebody wants the picture kept up to date; nobody pays for a page that is not shown.
    void setActive(const QObject* user, bool active);

    /// Rewrites the recipe to the best one of at most `bytes`. All moves until endMove() are one undo step.
    void moveTo(std::uint64_t bytes);
    /// The same within any budget: the best that the additive model has, not only points of the frontier. Of a budget
    /// that cannot be met refused() says why.
    void moveWithin(const quantloupe::AllocationBudget& budget);
    void endMove();
    bool isMoving() const { return m_moving; }
    /// One scheme for everything that the recipe does not keep.
    void adopt(const QString& scheme);

Q_SIGNALS:
    void pictureChanged();
    void currentChanged();
    void refused(const QString& reason);

private:
    using Solve = std::function<quantloupe::Result<quantloupe::Recipe>(const quantloupe::TradeOffPicture& picture,
        const quantloupe::StudySnapshot& study, const quantloupe::Recipe& base)>;

    void move(const Solve& solve);
    void schedulePicture();
    void computePicture();
    void computeCurrent();

    Workbench* m_workbench;
    QTimer m_pause;
    std::shared_ptr<const quantloupe::TradeOffPicture> m_picture;
    std::optional<quantloupe::TradeOffPoint> m_current;
    /// What the picture was computed with: the kept tensors that are the user's own choice.
    std::vector<std::string> m_keep;
    /// A small budget leaves tensors free that a large one keeps. Keep list of a recipe made here → the user's own.
    std::map<std::vector<std::string>, std::vector<std::string>> m_ownKeep;
    int m_mergeId = 0;
    QSet<const QObject*> m_users;  // who wants it up to date
    bool m_stale = true, m_moving = false;
};
