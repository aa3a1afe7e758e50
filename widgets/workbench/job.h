// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"

#include <QElapsedTimer>
#include <QObject>
#include <QString>
#include <QTimer>

#include <functional>
#include <optional>
#include <stop_token>
#include <thread>

/// Runs one core function on a thread of its own, inside an isolated task arena, and reports to the thread that owns
/// the Job.
///
/// start() returns at once and is called once. Any number of progressed(), then exactly one of finished(), failed() or
/// cancelled(), then ended(), arrive on the owner's thread. After cancel() that one is cancelled(), even when the work
/// had just ended: a result that nobody wants any more is never delivered.
///
/// A thread of its own, because a task waiting in an arena starves while another job holds every worker of the pool.
class Job final : public QObject
{
    Q_OBJECT
public:
    enum class State { Waiting, Running, Finished, Failed, Cancelled };
    Q_ENUM(State)

    /// Must poll the token at least every 50 ms. Exceptions become ErrorCode::Internal.
    using Work = std::function<quantloupe::Result<void>(std::stop_token, quantloupe::Progress&)>;

    Job(QString title, Work work, QObject* parent = nullptr);
    ~Job() noexcept override;  ///< stops and joins

    /// @param threads slots of the arena; 0: all that the process may use
    /// @param background gives way to other jobs' arenas
    void start(unsigned threads, bool background);
    void cancel();

    const QString& title() const { return m_title; }
    State state() const { return m_state; }
    bool isActive() const { return m_state == State::Waiting || m_state == State::Running; }
    const quantloupe::Progress& progress() const { return m_progress; }

    /// Share done, 0 … 1; negative while the total is not known.
    double fraction() const;
    /// Whether what progress() counts as items and bytes are steps: of the work, none of them larger than another.
    bool countsSteps() const { return m_countsSteps; }
    void setCountsSteps(bool countsSteps) { m_countsSteps = countsSteps; }
    /// Bytes of stored weights per second, smoothed over a few seconds; 0 until measured.
    double bytesPerSecond() const { return m_rate; }
    /// At the present rate; nullopt while that cannot be said.
    std::optional<double> secondsLeft() const;
    /// Since start(); frozen at the end.
    double secondsElapsed() const;
    /// Why it failed; empty otherwise.
    QString errorText() const { return m_errorText; }

Q_SIGNALS:
    void progressed(double fraction);
    void finished();
    void failed(const quantloupe::Error& error);
    void cancelled();
    void ended();

private:
    void sample();
    void conclude(const std::optional<quantloupe::Error>& error);

    QString m_title;
    Work m_work;
    State m_state = State::Waiting;
    bool m_countsSteps = false;
    std::stop_source m_stop;
    quantloupe::Progress m_progress;
    QTimer m_sampler;
    QElapsedTimer m_clock;
    qint64 m_endedAfter = -1;  // milliseconds
    qint64 m_sampledAt = 0;    // milliseconds
    quint64 m_sampledBytes = 0;
    double m_rate = 0.0;
    QString m_errorText;
    std::thread m_thread;
};
