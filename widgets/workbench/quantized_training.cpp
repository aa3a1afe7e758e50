// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/workbench/quantized_training.h"

#include "widgets/workbench/workbench.h"

#include <QFileInfo>

#include <utility>

using quantloupe::Progress;
using quantloupe::Result;

namespace {

constexpr QLatin1String trainingView("qat/train");
constexpr QLatin1String lookView("qat/look");
constexpr QLatin1String targetsView("qat/targets");

/// Jobs are listed for a while after their end: what was discarded must not be kept in memory by them.
using WeakRun = std::weak_ptr<TrainingRun>;

tl::unexpected<quantloupe::Error> discarded()
{
    return quantloupe::failure(quantloupe::ErrorCode::Cancelled, "training", "was discarded");
}

QString describeError(const quantloupe::Error& error)
{
    return QString::fromStdString(quantloupe::describe(error));
}

}  // namespace

QuantizedTraining::QuantizedTraining(Workbench* workbench, QObject* parent)
    : QObject(parent)
    , m_workbench(workbench)
{
    connect(workbench, &Workbench::modelChanged, this, &QuantizedTraining::discard);
}

QuantizedTraining::State QuantizedTraining::state() const
{
    if (!m_run)
        return State::None;
    if (m_job && m_job->isActive())
        return m_isBusy ? State::Busy : State::Running;
    return m_snapshot && m_snapshot->isDone ? State::Done : State::Stopped;
}

TrainingSnapshotPointer QuantizedTraining::snapshot() const
{
    return m_snapshot;
}

const TrainingRequest* QuantizedTraining::request() const
{
    return m_run ? &m_run->request() : nullptr;
}

std::optional<double> QuantizedTraining::secondsLeft() const
{
    if (state() != State::Running || !m_snapshot)
        return std::nullopt;
    if (m_snapshot->layers)
        return m_job->secondsLeft();
    // By the steps of this job alone: one that goes on begins with some that took it no time.
    const auto done = m_snapshot->history.steps.size();
    if (done <= m_doneBefore || done >= m_run->request().options.steps)
        return std::nullopt;
    return m_job->secondsElapsed() / static_cast<double>(done - m_doneBefore)
        * static_cast<double>(m_run->request().options.steps - done);
}

double QuantizedTraining::fraction() const
{
    return m_job ? m_job->fraction() : -1.0;
}

void QuantizedTraining::start(TrainingRequest request)
{
    request.options.threads = m_workbench->jobs()->threads();
    if (request.layers)
        request.layers->layer.threads = request.options.threads;
    m_run = std::make_shared<TrainingRun>(std::move(request));
    m_run->watch(m_watched.toStdString());
    train();
}

void QuantizedTraining::goOn()
{
    if (state() == State::Stopped)
        train();
}

void QuantizedTraining::train()
{
    m_targets.clear();
    m_isBusy = false;
    m_doneBefore = m_snapshot ? m_snapshot->history.steps.size() : 0;
    const auto text = QFileInfo(QString::fromStdU16String(m_run->request().text.u16string())).fileName();
    m_job = m_workbench->jobs()->start(
        {.title = tr("Train quantized on %1").arg(text), .view = trainingView, .countsSteps = !m_run->request().layers},
        [weak = WeakRun(m_run)](std::stop_token stop, Progress& progress) -> Result<void> {
            const auto run = weak.lock();
            return run ? run->train(std::move(stop), progress) : Result<void>(discarded());
        });
    // Sampled: the job never waits for the window, nor sends it more than it can draw.
    connect(m_job, &Job::progressed, this, &QuantizedTraining::take);
    connect(m_job, &Job::failed, this, [this, weak = WeakRun(m_run)](const quantloupe::Error& error) {
        if (m_run && weak.lock() == m_run)
            m_workbench->reportFailure(tr("The training ended early"), describeError(error));
    });
    connect(m_job, &Job::ended, this, [this, weak = WeakRun(m_run)] {
        if (m_run && weak.lock() == m_run)
            conclude();
    });
    Q_EMIT stateChanged();
}

/// Of a job that has ended.
void QuantizedTraining::conclude()
{
    take();
    if (!m_snapshot)
        m_run.reset();  // it did not begin
    Q_EMIT stateChanged();
    Q_EMIT changed();
    findTargets();
}

void QuantizedTraining::take()
{
    if (!m_run)
        return;
    auto newest = m_run->published();
    if (newest == m_snapshot)
        return;
    m_snapshot = std::move(newest);
    Q_EMIT changed();
}

void QuantizedTraining::findTargets()
{
    if (!m_run)
        return;
    m_workbench->jobs()->compute<std::vector<TrainingRun::Target>>(
        this, {.title = tr("Formats for the trained model"), .view = targetsView, .listed = false},
        [weak = WeakRun(m_run)](std::stop_token, Progress&) -> Result<std::vector<TrainingRun::Target>> {
            const auto run = weak.lock();
            return run ? run->targets() : std::vector<TrainingRun::Target>();
        },
        [this, weak = WeakRun(m_run)](Result<std::vector<TrainingRun::Target>> targets) {
            if (!m_run || weak.lock() != m_run || !targets || state() == State::Running)
                return;
            m_targets = std::move(*targets);
            Q_EMIT stateChanged();
        });
}

void QuantizedTraining::stop()
{
    if (m_job)
        m_job->cancel();
}

void QuantizedTraining::discard()
{
    if (m_job)
        m_job->cancel();
    if (!m_run)
        return;
    m_job.clear();
    m_run.reset();
    m_snapshot.reset();
    m_targets.clear();
    Q_EMIT stateChanged();
    Q_EMIT changed();
}

void QuantizedTraining::write(const quantloupe::CheckpointTarget& target, const QString& path)
{
    if (state() != State::Stopped && state() != State::Done)
        return;
    occupy(m_workbench->jobs()->compute<quantloupe::WrittenCheckpoint>(
        this, {.title = tr("Write %1").arg(QFileInfo(path).fileName()), .view = trainingView},
        [weak = WeakRun(m_run), &target, file = std::filesystem::path(path.toStdU16String())](
            std::stop_token stop, Progress& progress) -> Result<quantloupe::WrittenCheckpoint> {
            const auto run = weak.lock();
            if (!run)
                return discarded();
            return run->write(target, file, std::move(stop), progress);
        },
        [this, path](const Result<quantloupe::WrittenCheckpoint>& done) {
            if (done)
                Q_EMIT written(path, done->bytes, done->verifiedTensors);
            else
                m_workbench->reportFailure(tr("The trained model was not written"), describeError(done.error()));
        }));
}

void QuantizedTraining::compareRecipe()
{
    if (state() != State::Stopped && state() != State::Done)
        return;
    occupy(m_workbench->jobs()->compute<bool>(
        this, {.title = tr("Run the recipe on the held-out text"), .view = trainingView},
        [weak = WeakRun(m_run), recipe = m_workbench->recipe(), model = m_workbench->model(),
            study = m_workbench->study()](std::stop_token stop, Progress& progress) -> Result<bool> {
            const auto run = weak.lock();
            if (!run)
                return discarded();
            if (auto done = run->compare(recipe, model, study, std::move(stop), progress); !done)
                return tl::unexpected(done.error());
            return true;
        },
        [this](const Result<bool>& done) {
            if (done)
                take();
            else
                m_workbench->reportFailure(tr("The recipe was not compared"), describeError(done.error()));
        }));
}

/// With a job that does not train.
void QuantizedTraining::occupy(Job* job)
{
    m_isBusy = true;
    m_job = job;
    connect(job, &Job::ended, this, &QuantizedTraining::stateChanged);
    Q_EMIT stateChanged();
}

void QuantizedTraining::watch(const QString& tensor)
{
    if (tensor == m_watched)
        return;
    m_watched = tensor;
    if (!m_run)
        return;
    m_run->watch(tensor.toStdString());
    if (state() == State::Running)
        return;  // its next snapshot shows it
    m_workbench->jobs()->compute<bool>(
        this, {.title = tr("Trained weights"), .view = lookView, .listed = false},
        [weak = WeakRun(m_run)](std::stop_token, Progress&) {
            if (const auto run = weak.lock())
                run->look();
            return Result<bool>(true);
        },
        [this](const Result<bool>&) { take(); });
}
