// SPDX-License-Identifier: GPL-3.0-or-later
// What a layer's training may begin from, and is compared with. For use inside this room.
#pragma once

#include "core/base/progress_share.h"
#include "core/kernels/unit_grid.h"
#include "core/training/layer_training.h"

#include <stop_token>
#include <vector>

namespace quantloupe {

struct LayerRounding {
    LayerStart start = LayerStart::Nearest;
    std::vector<float> quantized {};  ///< Ŵ
    std::vector<UnitGrid> grids {};
};

/// Round-to-nearest; gptq, where the scheme takes it; cd likewise, unless `start` says that nobody will begin from it.
/// The moments are those of the training inputs, where they hold none those of their sample. Works on the threads of
/// the caller's arena. Errors: Unsupported (the scheme does not take `start`), those of quantizeWithInputs().
Result<std::vector<LayerRounding>> roundLayer(const LayerToTrain& layer, const Scheme& scheme, LayerStart start,
    const std::stop_token& stop, const ProgressShare& progress);

/// Errors: InvalidArgument, naming what does not fit: options, sizes, numbers that are not finite, inputs without
/// tokens; Cancelled.
Result<void> requireTrainable(
    const LayerToTrain& layer, const LayerTrainingOptions& options, const std::stop_token& stop);

/// Whether there are second moments, of some tokens.
bool knowsMoments(const LayerInputs& inputs);

/// E x² of each channel, by moments or by the sample.
std::vector<float> meanSquaresOf(const LayerInputs& inputs);

}  // namespace quantloupe
