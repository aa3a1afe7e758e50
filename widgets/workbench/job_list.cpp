// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/job_list.h"

#include <QTime>

#include <algorithm>
#include <utility>

using namespace std::chrono_literals;

namespace {
constexpr qsizetype keptEndedJobs = 12;
constexpr qsizetype keptLogLines = 1000;
}  // namespace

JobList::JobList(QObject* parent)
    : QObject(parent)
{
}

JobList::~JobList()
{
    // All are told first, then joined one by one.
    for (Job* job : std::as_const(m_all)) {
        job->disconnect(this);
        job->cancel();
    }
    qDeleteAll(std::exchange(m_all, {}));
}

Job* JobList::start(const JobRequest& request, Job::Work work)
{
    auto* job = new Job(request.title, std::move(work), this);
    job->setCountsSteps(request.countsSteps);
    m_all.append(job);
    ++m_active;
    connect(job, &Job::ended, this, [this, job, request] { onEnded(job, request); });
    connect(job, &Job::progressed, this, [this, job] { Q_EMIT jobChanged(job); });
    if (request.listed) {
        m_listed.append(job);
        Q_EMIT jobAdded(job);
    }
    if (!request.background)
        ++*m_interactive;
    if (request.view.isEmpty()) {
        run(job, request.background);
        return job;
    }
    auto& view = m_views[request.view];
    view.background = request.background;
    if (view.running) {
        view.running->cancel();
        if (view.waiting)
            view.waiting->cancel();
        view.waiting = job;
    } else {
        view.running = job;
        run(job, request.background);
    }
    return job;
}

void JobList::run(Job* job, bool background)
{
    job->start(m_threads, background);
    Q_EMIT jobChanged(job);
}

void JobList::onEnded(Job* job, const JobRequest& request)
{
    --m_active;
    if (!request.background)
        --*m_interactive;
    if (request.listed) {
        switch (job->state()) {
        case Job::State::Finished:
            addLog(tr("%1: done in %2 s").arg(job->title(), QString::number(job->secondsElapsed(), 'f', 1)));
            break;
        case Job::State::Failed: addLog(tr("%1: failed: %2").arg(job->title(), job->errorText())); break;
        default: addLog(tr("%1: cancelled").arg(job->title())); break;
        }
    }
    if (!request.view.isEmpty()) {
        auto& view = m_views[request.view];
        if (view.waiting == job)
            view.waiting.clear();
        if (view.running == job) {
            view.running.clear();
            if (Job* next = std::exchange(view.waiting, nullptr).data()) {
                view.running = next;
                run(next, view.background);
            }
        }
    }
    Q_EMIT jobChanged(job);
    if (!request.listed) {
        forget(job);
        return;
    }
    const auto ended = std::count_if(m_listed.cbegin(), m_listed.cend(), [](Job* other) { return !other->isActive(); });
    if (ended > keptEndedJobs)
        forget(*std::find_if(m_listed.cbegin(), m_listed.cend(), [](Job* other) { return !other->isActive(); }));
}

void JobList::forget(Job* job)
{
    if (m_listed.contains(job)) {
        Q_EMIT jobRemoved(job);
        m_listed.removeOne(job);
    }
    m_all.removeOne(job);
    job->deleteLater();
}

void JobList::cancel(const QString& view)
{
    const auto found = m_views.constFind(view);
    if (found == m_views.constEnd())
        return;
    if (found->waiting)
        found->waiting->cancel();
    if (found->running)
        found->running->cancel();
}

void JobList::cancelAll()
{
    for (Job* job : std::as_const(m_all))
        job->cancel();
}

bool JobList::isActive(const QString& view) const
{
    const auto found = m_views.constFind(view);
    return found != m_views.constEnd() && (found->running || found->waiting);
}

void JobList::addLog(const QString& line)
{
    const auto stamped = QTime::currentTime().toString(QStringLiteral("HH:mm:ss  ")) + line;
    m_log.append(stamped);
    if (m_log.size() > keptLogLines)
        m_log.removeFirst();
    Q_EMIT logged(stamped);
}

std::function<void(std::stop_token)> JobList::yieldPoint() const
{
    return [running = m_interactive](std::stop_token stop) {
        while (*running > 0 && !stop.stop_requested())
            std::this_thread::sleep_for(5ms);
    };
}
