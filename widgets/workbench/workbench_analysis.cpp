// SPDX-License-Identifier: GPL-3.0-or-later
// What is measured in the background, and how results arrive.
#include "widgets/workbench/workbench_state.h"

#include <algorithm>
#include <utility>

using quantloupe::Progress;
using quantloupe::Result;
using quantloupe::Scheme;

namespace {

/// Schemes of a list that can be computed; the others are named in `refused`.
std::vector<Scheme> builtOnes(
    const std::vector<Scheme>& schemes, quantloupe::Calibration calibration, QStringList& refused)
{
    std::vector<Scheme> built;
    for (const auto& scheme : schemes)
        if (const auto allowed = quantloupe::requireBuilt(scheme, calibration))
            built.push_back(scheme);
        else
            refused << toText(allowed.error());
    return built;
}

}  // namespace

bool Workbench::isAnalyzing() const
{
    return m_state->analyzing;
}

void Workbench::setSweep(const std::vector<Scheme>& schemes)
{
    QStringList refused;
    auto built = builtOnes(schemes, calibration(), refused);
    if (!refused.isEmpty())
        reportFailure(tr("Some schemes are left out of the sweep"), refused.join(u'\n'));
    if (built == m_state->wishes.sweep)
        return;
    m_state->wishes.sweep = std::move(built);
    Q_EMIT sweepChanged();
    if (m_state->sweepWanted)
        startAnalysis();
}

void Workbench::analyze()
{
    m_state->sweepWanted = true;
    startAnalysis();
}

void Workbench::analyze(const QStringList& tensors, const std::vector<Scheme>& schemes)
{
    QStringList refused;
    const auto built = builtOnes(schemes, calibration(), refused);
    if (!refused.isEmpty())
        reportFailure(tr("Not analyzed"), refused.join(u'\n'));
    auto& wishes = m_state->wishes;
    wishes.first.clear();
    for (const auto& name : tensors) {
        wishes.first.push_back(name.toStdString());
        for (const auto& scheme : built)
            if (!m_state->study->find(name.toStdString(), scheme.toString()))
                wishes.single.emplace_back(name.toStdString(), scheme);
    }
    startAnalysis();
}

void Workbench::cancelAnalysis()
{
    m_state->sweepWanted = false;
    m_state->wishes.single.clear();
    m_state->jobs->cancel(jobviews::analysis);
}

void Workbench::startAnalysis()
{
    auto& state = *m_state;
    if (!state.model || !state.writer)
        return;
    auto wishes = state.wishes;
    if (!state.sweepWanted)
        wishes.sweep.clear();
    for (const auto& tensor : state.model->tensors)
        wishes.calibration.push_back(quantloupe::calibrationUsed(tensor));
    auto work = pendingWork(state.catalog, *state.study, state.plan, wishes);
    // What was tried in vain is not tried again, or this would go round for ever.
    for (auto& unit : work)
        std::erase_if(unit.schemes, [&](const Scheme& scheme) {
            return state.unmeasurable.contains({unit.tensor, scheme.toString()});
        });
    std::erase_if(work, [](const auto& unit) { return unit.schemes.empty(); });
    if (work.empty())
        return;
    std::size_t widest = 0;
    for (const auto& unit : work)
        widest = std::max(widest, unit.schemes.size());
    const auto title = widest == 1 ? tr("Measure 1 scheme") : tr("Measure %1 schemes").arg(widest);
    auto* job = state.jobs->start({title, jobviews::analysis, true, true},
        [this, work, model = state.model, writer = state.writer, threads = state.jobs->threads(),
            wait = state.jobs->yieldPoint()](std::stop_token stop, Progress& progress) {
            // `this` only receives queued calls here; jobs are joined before it dies.
            const auto sink = [&](const quantloupe::TensorMeasurement& measurement) -> Result<void> {
                if (auto stored = writer->append(measurement); !stored)
                    return stored;
                if (writer->publishIfDue())
                    QMetaObject::invokeMethod(this, &Workbench::takeSnapshot, Qt::QueuedConnection);
                wait(stop);
                return {};
            };
            return quantloupe::analyze(*model, work, threads, stop, progress, sink);
        });
    if (!std::exchange(state.analyzing, true))
        Q_EMIT analysisChanged();
    connect(job, &Job::failed, this, [this](const quantloupe::Error& error) {
        m_state->sweepWanted = false;  // or the next edit would run into the same failure
        reportFailure(tr("The analysis stopped"), toText(error));
    });
    connect(job, &Job::ended, this, [this, job, work = std::move(work), writer = state.writer] {
        if (writer != m_state->writer)
            return;
        if (job->state() == Job::State::Cancelled && !m_state->jobs->isActive(jobviews::analysis))
            m_state->sweepWanted = false;  // cancelled by hand in the Jobs dock, not replaced
        // Publishing waits for the disk when an append is under way, so it leaves this thread.
        const bool complete = job->state() == Job::State::Finished;
        m_state->jobs->compute<bool>(
            this, {tr("Publish"), {}, false},
            [writer](std::stop_token, Progress&) -> Result<bool> {
                writer->publish();
                return true;
            },
            [this, work, complete, writer](const Result<bool>&) {
                if (writer != m_state->writer)
                    return;
                const auto published = writer->published();
                for (const auto& unit : work)
                    for (const auto& scheme : unit.schemes)
                        if (complete && !published->find(m_state->catalog.tensors[unit.tensor].name, scheme.toString()))
                            m_state->unmeasurable.emplace(unit.tensor, scheme.toString());
                takeSnapshot();
            });
    });
}

void Workbench::takeSnapshot()
{
    auto& state = *m_state;
    if (!state.writer)
        return;
    if (auto published = state.writer->published(); published != state.study) {
        state.study = std::move(published);
        Q_EMIT studyChanged();
    }
    if (state.analyzing && !state.jobs->isActive(jobviews::analysis)) {
        state.analyzing = false;
        std::erase_if(state.wishes.single,
            [&](const auto& wish) { return state.study->find(wish.first, wish.second.toString()); });
        Q_EMIT analysisChanged();
        // The recipe may have changed while the last job ran.
        if (state.sweepWanted)
            startAnalysis();
    }
}
