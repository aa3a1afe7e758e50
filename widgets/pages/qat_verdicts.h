// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/training/layer_training.h"
#include "widgets/workbench/layers_run.h"

#include <QString>

/// How training compares on tokens that nothing was chosen by, in a few words.
QString verdictWords(quantloupe::LayerVerdict verdict);
/// Whether training rescues the layer, in a sentence or two with its figures.
QString verdictSentence(const quantloupe::LayerTrainingResult& result);
/// The same of all layers.
QString verdictOfAll(const LayersSnapshot& layers);
