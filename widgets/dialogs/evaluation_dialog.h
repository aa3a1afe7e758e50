// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/job.h"
#include "widgets/workbench/text_runs.h"

#include <QDialog>

#include <cstddef>

class DepthErrorPlot;
class QLabel;
class QTableWidget;

/// What a recipe does to the predictions of a text: perplexities and divergence, and the error behind each block, as
/// they become known. Closing the dialog does not stop the evaluation.
class EvaluationDialog final : public QDialog
{
    Q_OBJECT
public:
    /// `recipe`: what is evaluated, in a few words. A run without a job shows what is known of it.
    EvaluationDialog(const EvaluationRun& run, const QString& recipe, QWidget* parent = nullptr);

private:
    void takeNew();
    void conclude(Job::State state);
    void showState(const EvaluationState& state);
    void showFigures(const quantloupe::Evaluation& evaluation);
    void showDepth(const quantloupe::Evaluation& evaluation);
    void copy() const;

    QString m_recipe;
    std::shared_ptr<const LiveList<EvaluationState>> m_soFar;
    std::size_t m_taken = 0;  ///< states of it
    QLabel* m_summary;
    QTableWidget* m_figures;
    QTableWidget* m_depth;
    DepthErrorPlot* m_depthPlot;
};
