// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/jobs_model.h"

#include "widgets/support/format_text.h"

#include <QLocale>

JobsModel::JobsModel(JobList* jobs, QObject* parent)
    : QAbstractTableModel(parent)
    , m_jobs(jobs->jobs())
{
    connect(jobs, &JobList::jobAdded, this, [this](Job* job) {
        const auto row = static_cast<int>(m_jobs.size());
        beginInsertRows({}, row, row);
        m_jobs.append(job);
        endInsertRows();
    });
    connect(jobs, &JobList::jobRemoved, this, [this](Job* job) {
        const auto row = static_cast<int>(m_jobs.indexOf(job));
        if (row < 0)
            return;
        beginRemoveRows({}, row, row);
        m_jobs.removeAt(row);
        endRemoveRows();
    });
    connect(jobs, &JobList::jobChanged, this, &JobsModel::onChanged);
    // The list goes first when the window is torn down.
    connect(jobs, &QObject::destroyed, this, [this] {
        beginResetModel();
        m_jobs.clear();
        endResetModel();
    });
}

void JobsModel::onChanged(Job* job)
{
    if (const auto row = static_cast<int>(m_jobs.indexOf(job)); row >= 0)
        Q_EMIT dataChanged(index(row, 0), index(row, ColumnCount - 1));
}

Job* JobsModel::jobAt(int row) const
{
    return row >= 0 && row < m_jobs.size() ? m_jobs[row] : nullptr;
}
int JobsModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_jobs.size());
}
int JobsModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant JobsModel::valueOf(const Job& job, int column) const
{
    switch (column) {
    case Progress: return job.state() == Job::State::Finished ? 1.0 : job.fraction();
    case Items: return job.progress().doneItems.load();
    case Rate: return job.bytesPerSecond();
    case TimeLeft: return job.secondsLeft() ? QVariant(*job.secondsLeft()) : QVariant();
    default: return job.title();
    }
}

QString JobsModel::textOf(const Job& job, int column) const
{
    switch (column) {
    case Title: return job.title();
    case Progress:
        switch (job.state()) {
        case Job::State::Waiting: return tr("waiting");
        case Job::State::Finished: return tr("done");
        case Job::State::Failed: return tr("failed: %1").arg(job.errorText());
        case Job::State::Cancelled: return tr("cancelled");
        case Job::State::Running: return job.fraction() < 0.0 ? tr("running") : format::percent(job.fraction());
        }
        return {};
    case Items: {
        const auto total = job.progress().totalItems.load();
        return total > 0 ? (job.countsSteps() ? tr("%1/%2 steps") : tr("%1/%2 tensors"))
                               .arg(job.progress().doneItems.load())
                               .arg(total)
                         : QString();
    }
    case Rate:
        if (!job.isActive() || job.bytesPerSecond() <= 0.0)
            return QString();
        return job.countsSteps() ? tr("%1 steps/s").arg(format::number(job.bytesPerSecond(), 3))
                                 : format::si(job.bytesPerSecond(), QStringLiteral("B/s"));
    case TimeLeft:
        if (!job.isActive())
            return job.secondsElapsed() < 10.0 ? tr("took %1 s").arg(QLocale().toString(job.secondsElapsed(), 'f', 1))
                                               : tr("took %1").arg(format::duration(job.secondsElapsed()));
        return job.secondsLeft() ? tr("%1 left").arg(format::duration(*job.secondsLeft())) : QString();
    default: return {};
    }
}

QVariant JobsModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid))
        return {};
    const auto& job = *m_jobs[index.row()];
    switch (role) {
    case Qt::DisplayRole: return textOf(job, index.column());
    case Qt::ToolTipRole: return job.errorText().isEmpty() ? job.title() : job.errorText();
    case ValueRole: return valueOf(job, index.column());
    case StateRole: return static_cast<int>(job.state());
    case Qt::TextAlignmentRole:
        return index.column() >= Items ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant();
    default: return {};
    }
}

QVariant JobsModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation == Qt::Horizontal && role == Qt::TextAlignmentRole)
        return QVariant((section >= Items ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    if (orientation != Qt::Horizontal || role != Qt::DisplayRole)
        return QAbstractTableModel::headerData(section, orientation, role);
    switch (section) {
    case Title: return tr("Job");
    case Progress: return tr("Progress");
    case Items: return tr("Finished");
    case Rate: return tr("Rate");
    case TimeLeft: return tr("Time");
    default: return {};
    }
}
