// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/job_list.h"

#include <QAbstractTableModel>

/// The listed jobs, oldest first: what each does, how far it is, how fast, how long it will take.
class JobsModel final : public QAbstractTableModel
{
    Q_OBJECT
public:
    enum Column { Title, Progress, Items, Rate, TimeLeft, ColumnCount };
    /// Progress: share done, 0 … 1, negative while unknown. Rate: bytes per second. TimeLeft: seconds.
    static constexpr int ValueRole = Qt::UserRole;
    static constexpr int StateRole = Qt::UserRole + 1;  ///< Job::State as int

    explicit JobsModel(JobList* jobs, QObject* parent = nullptr);
    Job* jobAt(int row) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    void onChanged(Job* job);
    QVariant valueOf(const Job& job, int column) const;
    QString textOf(const Job& job, int column) const;

    // Kept beside the list's own, whose rows are already changed when its signals arrive.
    QList<Job*> m_jobs;
};
