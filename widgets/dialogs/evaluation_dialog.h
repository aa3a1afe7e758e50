// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/evaluate.h"

#include <QDialog>

class DepthErrorPlot;
class QTableWidget;

/// What a recipe does to the predictions of a text: perplexities and divergence, and the error behind each block.
class EvaluationDialog final : public QDialog
{
    Q_OBJECT
public:
    /// `recipe`: what was evaluated, in a few words.
    EvaluationDialog(const QString& text, const QString& recipe, const quantloupe::Evaluation& evaluation,
        QWidget* parent = nullptr);

private:
    void copy() const;

    QTableWidget* m_figures;
    QTableWidget* m_depth;
    DepthErrorPlot* m_depthPlot;
};
