// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/job.h"

#include <tbb/task_arena.h>

#include <exception>
#include <utility>

using namespace std::chrono_literals;

Job::Job(QString title, Work work, QObject* parent)
    : QObject(parent)
    , m_title(std::move(title))
    , m_work(std::move(work))
{
    // Sampled at 10 Hz: workers only store atomics and cannot flood the event queue.
    m_sampler.setInterval(100ms);
    connect(&m_sampler, &QTimer::timeout, this, &Job::sample);
}

Job::~Job() noexcept
{
    m_stop.request_stop();
    if (m_thread.joinable())
        m_thread.join();
}

void Job::start(unsigned threads, bool background)
{
    // A cancelled one is concluded by the event that cancel() has sent.
    if (m_state != State::Waiting || m_stop.stop_requested())
        return;
    m_state = State::Running;
    m_clock.start();
    m_sampler.start();
    m_thread = std::thread([this, threads, background] {
        std::optional<quantloupe::Error> error;
        try {
            const auto slotCount = threads == 0 ? tbb::task_arena::automatic : static_cast<int>(threads);
            tbb::task_arena arena(
                slotCount, 1, background ? tbb::task_arena::priority::low : tbb::task_arena::priority::normal);
            const auto result = arena.execute([this] { return m_work(m_stop.get_token(), m_progress); });
            if (!result)
                error = result.error();
        } catch (const std::exception& exception) {
            error = quantloupe::Error {.code = quantloupe::ErrorCode::Internal, .reason = exception.what()};
        }
        // Safe to name `this`: the destructor joins before any member dies.
        QMetaObject::invokeMethod(
            this, [this, error] { conclude(error); }, Qt::QueuedConnection);
    });
}

void Job::cancel()
{
    if (!isActive())
        return;
    m_stop.request_stop();
    if (m_state == State::Waiting)
        QMetaObject::invokeMethod(
            this, [this] { conclude(std::nullopt); }, Qt::QueuedConnection);
}

double Job::fraction() const
{
    const auto total = m_progress.totalBytes.load(std::memory_order_relaxed);
    const auto done = m_progress.doneBytes.load(std::memory_order_relaxed);
    if (total > 0)
        return std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const auto items = m_progress.totalItems.load(std::memory_order_relaxed);
    if (items > 0)
        return std::min(1.0, m_progress.doneItems.load(std::memory_order_relaxed) / static_cast<double>(items));
    return -1.0;
}

std::optional<double> Job::secondsLeft() const
{
    const auto total = m_progress.totalBytes.load(std::memory_order_relaxed);
    const auto done = m_progress.doneBytes.load(std::memory_order_relaxed);
    if (m_state != State::Running || total == 0 || m_rate <= 0.0)
        return std::nullopt;
    return done >= total ? 0.0 : static_cast<double>(total - done) / m_rate;
}

double Job::secondsElapsed() const
{
    if (!m_clock.isValid())
        return 0.0;
    return static_cast<double>(m_endedAfter >= 0 ? m_endedAfter : m_clock.elapsed()) / 1000.0;
}

void Job::sample()
{
    const auto now = m_clock.elapsed();
    const auto bytes = m_progress.doneBytes.load(std::memory_order_relaxed);
    // Steps that were done before the job took it no time.
    const bool begins = m_countsSteps && m_sampledBytes == 0;
    if (now > m_sampledAt && bytes >= m_sampledBytes && !begins) {
        const auto seconds = static_cast<double>(now - m_sampledAt) / 1000.0;
        const auto current = static_cast<double>(bytes - m_sampledBytes) / seconds;
        // Exponential smoothing with a time constant of about three seconds: tensors end in bursts.
        const auto weight = m_rate == 0.0 ? 1.0 : std::min(1.0, seconds / 3.0);
        m_rate += weight * (current - m_rate);
    }
    m_sampledAt = now;
    m_sampledBytes = bytes;
    Q_EMIT progressed(fraction());
}

void Job::conclude(const std::optional<quantloupe::Error>& error)
{
    if (!isActive())
        return;
    m_sampler.stop();
    m_endedAfter = m_clock.isValid() ? m_clock.elapsed() : 0;
    if (m_stop.stop_requested() || (error && error->code == quantloupe::ErrorCode::Cancelled)) {
        m_state = State::Cancelled;
        Q_EMIT cancelled();
    } else if (error) {
        m_state = State::Failed;
        m_errorText = QString::fromStdString(quantloupe::describe(*error));
        Q_EMIT failed(*error);
    } else {
        m_state = State::Finished;
        Q_EMIT finished();
    }
    Q_EMIT ended();
}
