// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/job.h"

#include <QPointer>
#include <QWidget>

class QLabel;
class QProgressBar;

/// How far a job is, how long it will still take, and a button that stops it. Hides itself when the job has ended.
class JobRow final : public QWidget
{
    Q_OBJECT
public:
    explicit JobRow(Job* job, QWidget* parent = nullptr);

Q_SIGNALS:
    /// Some time has passed: what the job came to may be shown.
    void advanced();
    /// Once. Nothing is advanced() any more.
    void ended(Job::State state);

private:
    void follow();
    void conclude();

    QPointer<Job> m_job;
    QProgressBar* m_bar;
    QLabel* m_left;
};
