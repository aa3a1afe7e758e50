// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/job.h"
#include "widgets/workbench/text_runs.h"

#include <QDialog>

#include <vector>

class LoudestChannelPlot;
class MovedMomentsPlot;
class QLabel;

/// A calibration under way: what is known of each layer's inputs as soon as it is known, and whether that can be
/// relied on. Closing the dialog does not stop it.
class CalibratingDialog final : public QDialog
{
    Q_OBJECT
public:
    explicit CalibratingDialog(const CalibratingRun& run, QWidget* parent = nullptr);

private:
    void takeNew();
    void conclude(Job::State state);
    QString gathered() const;
    QString findings() const;

    QString m_text;
    std::shared_ptr<const LiveList<CalibratedInput>> m_soFar;
    std::vector<CalibratedInput> m_inputs;
    QLabel *m_summary, *m_findings;
    LoudestChannelPlot* m_loudest;
    MovedMomentsPlot* m_moved;
};
