// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <cstddef>

class ElidedLabel;
class LevelHistogramPlot;
class LossPlot;
class PerplexityPlot;
class QatControls;
class QatLayers;
class QLabel;
class QMenu;
class QProgressBar;
class QPushButton;
class QStackedWidget;
class QTableWidget;
class QTabWidget;
class QuantizedTraining;
class StepSizePlot;
class Workbench;

/// Quantization-aware training of the open model, as a whole or layer by layer: chosen, watched while it runs, held
/// against rounding, and written to a checkpoint or discarded. A recipe cannot name trained weights: of layers that
/// training helps it can say that they are to be trained.
class QatPage final : public QWidget
{
    Q_OBJECT
public:
    explicit QatPage(Workbench* workbench, QWidget* parent = nullptr);

    QuantizedTraining* training() const { return m_training; }
    /// Whether steps were trained that no checkpoint holds.
    bool holdsUnsavedTraining() const;

private:
    QWidget* makeContent();
    QWidget* makeWhole();
    void connectAll();
    std::size_t stepsDone() const;  ///< of layers that are trained by themselves: layers
    void findOut();                 ///< whether the model can be trained
    void start();
    void askToDiscard();
    void fillSaveMenu();
    void save(const QString& target);
    void followSelection();
    void showState();
    void showSnapshot();
    void showProgress();
    QString layersProgress() const;
    QString afterwards() const;

    Workbench* m_workbench;
    QuantizedTraining* m_training;
    QatControls* m_controls;
    QatLayers* m_layers;
    QStackedWidget *m_stack, *m_results;
    QLabel *m_reason, *m_status;
    QProgressBar* m_progress;
    QPushButton *m_start, *m_stop, *m_save, *m_discard, *m_compare;
    QMenu* m_saveMenu;
    LossPlot* m_loss;
    PerplexityPlot* m_perplexity;
    QTableWidget* m_figures;
    StepSizePlot* m_steps;
    LevelHistogramPlot* m_levels;
    QTabWidget* m_views;
    ElidedLabel* m_watched;
    QLabel* m_distance;
    QString m_said;  ///< of what was written
    std::size_t m_savedSteps = 0;
};
