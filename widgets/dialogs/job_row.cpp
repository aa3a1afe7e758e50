// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/job_row.h"

#include "widgets/support/format_text.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>

JobRow::JobRow(Job* job, QWidget* parent)
    : QWidget(parent)
    , m_job(job)
    , m_bar(new QProgressBar)
    , m_left(new QLabel)
{
    m_bar->setAccessibleName(job->title());
    auto* stop = new QPushButton(tr("&Stop"));
    stop->setObjectName(QStringLiteral("stopJob"));
    stop->setAutoDefault(false);
    stop->setToolTip(tr("Stops at once. What was finished is kept."));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_bar, 1);
    layout->addWidget(m_left);
    layout->addWidget(stop);
    connect(stop, &QPushButton::clicked, job, &Job::cancel);
    connect(job, &Job::progressed, this, &JobRow::follow);
    connect(job, &Job::ended, this, &JobRow::conclude);
    follow();
}

void JobRow::follow()
{
    if (!m_job)
        return;
    const double fraction = m_job->fraction();
    m_bar->setRange(0, fraction < 0.0 ? 0 : 1000);  // 0 is "busy": the total is not known yet
    if (fraction >= 0.0)
        m_bar->setValue(static_cast<int>(fraction * 1000.0));
    m_left->setText(m_job->secondsLeft() ? tr("%1 left").arg(format::duration(*m_job->secondsLeft())) : QString());
    Q_EMIT advanced();
}

void JobRow::conclude()
{
    const auto state = m_job->state();
    m_job->disconnect(this);
    hide();
    Q_EMIT ended(state);
}
