// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/training_run.h"

#include <QString>
#include <QWidget>

#include <cstddef>

class LayerLossPlot;
class QLabel;
class QPushButton;
class QStackedWidget;
class QTableWidget;
class Workbench;

/// Layers that are trained by themselves: what rounding and training lose of each one's outputs, side by side, the loss
/// of one while it trains, whether training helps it, and the way into the recipe.
class QatLayers final : public QWidget
{
    Q_OBJECT
public:
    explicit QatLayers(Workbench* workbench, QWidget* parent = nullptr);

    /// Both may be null: nothing is trained. `runs`: a job trains.
    void setContent(TrainingSnapshotPointer snapshot, const TrainingRequest* request, bool runs);

    /// Layers that training itself made better than what they began as, and better than rounding.
    std::vector<TrainedTensorPointer> gained() const;

private:
    QWidget* makeBelow();
    const LayersSnapshot* layers() const { return m_snapshot ? m_snapshot->layers.get() : nullptr; }
    QString nameOf(const quantloupe::TrainedTensor& trained) const;
    void showRows();
    void showRow(int row);
    void showChosen();  ///< curve and verdict
    void showSummary();
    void showAdoption();
    void followSelection();
    std::size_t chosen() const;  ///< place among the planned layers
    void adopt();

    Workbench* m_workbench;
    QStackedWidget* m_results;
    QTableWidget* m_table;
    LayerLossPlot* m_loss;
    QLabel *m_summary, *m_verdict, *m_adoption;
    QPushButton *m_adopt, *m_calibrate;
    TrainingSnapshotPointer m_snapshot;
    std::optional<TrainingRequest> m_request;
    std::size_t m_shown = 0;  ///< layers whose figures the table has
    bool m_runs = false;
};
