// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/training_run.h"

#include "widgets/plots/training_curve_plot.h"

class QTableWidget;

/// Rounding and training side by side, on the held-out text.
QTableWidget* makeTrainingFigures();
/// `snapshot` may be null: the table is emptied.
void showTrainingFigures(QTableWidget* table, const TrainingSnapshot* snapshot);

/// Loss by step and divergence on the held-out text.
TrainingCurvesData lossCurves(const TrainingSnapshot& snapshot, const quantloupe::TrainingOptions& options);
/// Perplexity on the held-out text beside the original's.
TrainingCurvesData perplexityCurves(const TrainingSnapshot& snapshot, const quantloupe::TrainingOptions& options);
