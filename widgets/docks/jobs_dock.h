// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDockWidget>

class JobList;
class JobsModel;
class QPlainTextEdit;
class QTableView;

/// What runs, how far it is, a button to stop it, and the log of what has been.
class JobsDock final : public QDockWidget
{
    Q_OBJECT
public:
    explicit JobsDock(JobList* jobs, QWidget* parent = nullptr);

    QTableView* view() const { return m_view; }

private:
    void updateButtons(int first, int last);

    JobsModel* m_model;
    QTableView* m_view;
    QPlainTextEdit* m_log;
};
