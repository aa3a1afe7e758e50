// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/job.h"

#include <QHash>
#include <QList>
#include <QPointer>
#include <QStringList>

#include <atomic>
#include <memory>

/// What a job is to the list.
struct JobRequest {
    QString title;             ///< shown in the Jobs dock
    QString view {};           ///< jobs of one view replace each other; empty: stands alone
    bool listed = true;        ///< false for live work of a few milliseconds: not shown in the dock
    bool background = false;   ///< gives way to jobs that are not
    bool countsSteps = false;  ///< its progress is steps: not tensors, nor bytes
};

/// All long work of the window. A newer request for the same view replaces the older: the older is cancelled, the
/// newer starts when the older's thread has ended (so that never two of a view run), and an older result that is
/// already on its way is dropped.
///
/// Work runs on another thread: capture values and shared pointers only, never `this` of a widget.
class JobList final : public QObject
{
    Q_OBJECT
public:
    explicit JobList(QObject* parent = nullptr);
    ~JobList() override;  ///< cancels and joins everything

    /// Threads of each job; 0: all. Takes effect with the next job.
    void setThreads(unsigned threads) { m_threads = threads; }
    unsigned threads() const { return m_threads; }

    /// The job belongs to the list and is deleted some time after it ended.
    Job* start(const JobRequest& request, Job::Work work);

    /// Computes a value off the thread and hands it, or the error, to `deliver` on the receiver's thread. Nothing is
    /// delivered when the job was cancelled or replaced, or when `receiver` has died.
    template<class T>
    Job* compute(QObject* receiver, const JobRequest& request,
        std::function<quantloupe::Result<T>(std::stop_token, quantloupe::Progress&)> work,
        std::function<void(quantloupe::Result<T>)> deliver);

    /// Cancels what runs or waits for this view.
    void cancel(const QString& view);
    void cancelAll();
    /// Whether anything of this view runs or waits.
    bool isActive(const QString& view) const;
    /// Whether anything at all runs or waits.
    bool isBusy() const { return m_active > 0; }

    /// Listed jobs, oldest first: those that run and the last ones that ended.
    const QList<Job*>& jobs() const { return m_listed; }
    /// One line per thing that happened, oldest first.
    const QStringList& log() const { return m_log; }
    void addLog(const QString& line);

    /// For background work: returns at once, or as soon as no interactive job runs any more. Callable on any thread
    /// as long as the list lives.
    std::function<void(std::stop_token)> yieldPoint() const;

Q_SIGNALS:
    void jobAdded(Job* job);
    void jobRemoved(Job* job);  ///< about to be deleted
    void jobChanged(Job* job);  ///< progress or state
    void logged(const QString& line);

private:
    struct Slot {
        QPointer<Job> running;
        QPointer<Job> waiting;
        bool background = false;
    };
    void run(Job* job, bool background);
    void onEnded(Job* job, const JobRequest& request);
    void forget(Job* job);

    unsigned m_threads = 0;
    QHash<QString, Slot> m_views;
    QList<Job*> m_all;
    QList<Job*> m_listed;
    QStringList m_log;
    int m_active = 0;
    std::shared_ptr<std::atomic<int>> m_interactive = std::make_shared<std::atomic<int>>(0);
};

template<class T>
Job* JobList::compute(QObject* receiver, const JobRequest& request,
    std::function<quantloupe::Result<T>(std::stop_token, quantloupe::Progress&)> work,
    std::function<void(quantloupe::Result<T>)> deliver)
{
    const auto box = std::make_shared<std::optional<T>>();
    Job* job = start(request, [work = std::move(work), box](std::stop_token stop, quantloupe::Progress& progress) {
        auto result = work(stop, progress);
        if (!result)
            return quantloupe::Result<void>(tl::unexpected<quantloupe::Error>(result.error()));
        box->emplace(std::move(*result));
        return quantloupe::Result<void>();
    });
    connect(job, &Job::finished, receiver, [box, deliver] { deliver(quantloupe::Result<T>(std::move(**box))); });
    connect(job, &Job::failed, receiver, [deliver = std::move(deliver)](const quantloupe::Error& error) {
        deliver(quantloupe::Result<T>(tl::unexpected<quantloupe::Error>(error)));
    });
    return job;
}
