// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/training_run.h"

#include <QObject>
#include <QPointer>
#include <QString>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

class Job;
class Workbench;

/// One quantization-aware training of the open model: begun, stopped, gone on with and written in jobs, kept until it
/// is discarded or another model is opened.
class QuantizedTraining final : public QObject
{
    Q_OBJECT
public:
    enum class State {
        None,     ///< nothing is trained
        Running,  ///< a job trains
        Stopped,  ///< goOn() goes on
        Busy,     ///< a job compares or writes a checkpoint
        Done,     ///< nothing remains to train
    };

    QuantizedTraining(Workbench* workbench, QObject* parent);

    State state() const;
    /// Null until the training has begun.
    TrainingSnapshotPointer snapshot() const;
    const TrainingRequest* request() const;     ///< null where nothing is trained
    std::optional<double> secondsLeft() const;  ///< at the mean pace of the job
    double fraction() const;                    ///< of what remained when the job began; negative while nobody knows
    /// Formats that the result can be written as, and why not as the others. Empty while that is not known.
    const std::vector<TrainingRun::Target>& targets() const { return m_targets; }

    /// Trains the open model. A failure is reported; what was trained before it is kept. @pre state() is None
    void start(TrainingRequest request);
    void stop();
    void goOn();     ///< @pre state() is Stopped
    void discard();  ///< whatever there is
    /// Runs the workbench's recipe, with its algorithms, on the held-out text. @pre state() is Stopped or Done
    void compareRecipe();
    /// written() follows, or a failure is reported. @pre state() is Stopped or Done
    void write(const quantloupe::CheckpointTarget& target, const QString& path);
    /// The tensor that snapshots show the scales and weights of.
    void watch(const QString& tensor);

Q_SIGNALS:
    void changed();       ///< the snapshot
    void stateChanged();  ///< also what can be written
    void written(const QString& path, quint64 bytes, quint64 verifiedTensors);

private:
    void train();
    void take();
    void findTargets();
    void conclude();
    void occupy(Job* job);

    Workbench* m_workbench;
    std::shared_ptr<TrainingRun> m_run;
    QPointer<Job> m_job;
    TrainingSnapshotPointer m_snapshot;
    std::vector<TrainingRun::Target> m_targets;
    QString m_watched;
    std::size_t m_doneBefore = 0;  ///< steps, when the job at hand began
    bool m_isBusy = false;
};
