// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/inference/decoder.h"
#include "core/inference/text_windows.h"
#include "core/number_formats/quantized_tensor.h"
#include "core/recipes/plan.h"
#include "core/training/layer_training.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

namespace quantloupe {

struct LayersTrainingOptions {
    LayerTrainingOptions layer {};
    std::size_t tokens = 4'096;  ///< whose inputs are kept of each layer, drawn evenly; moments are of all tokens
    std::size_t heldOutTokens = 2'048;                ///< the same of the held-out text
    std::uint64_t memory = std::uint64_t {4} << 30U;  ///< bytes for all that is trained, inputs and passes

    bool operator==(const LayersTrainingOptions&) const = default;
};

struct TrainedTensor {
    std::size_t tensor = 0;
    LayerTrainingResult result {};
};

/// Tensors that a plan quantizes and that layers of a block with the same inputs multiply by, all rows: the ones that
/// can be trained by themselves, in the order of the operations. Experts that lie in one stack see tokens of their own.
std::vector<std::size_t> layersToTrain(const Decoder& decoder, const Plan& plan);
/// Tensors with a scheme that are none of these, or that `wants` refuses where it is given; in the order of the plan.
std::vector<std::size_t> othersThanLayers(
    const Decoder& decoder, const Plan& plan, const std::function<bool(std::size_t tensor)>& wants = {});

/// Told of a training of layers on its own thread, one at a time; empty ones are not.
struct LayersWatch {
    std::function<Result<void>(const TrainedTensor&)> afterLayer {};
    std::function<Result<void>(std::size_t tensor, const LayerTrainingStep&)> afterStep {};
};

/// Runs the model on both texts and trains each planned layer on what the original model's layer reads, one after the
/// other: in memory are the held-out inputs of all, one layer with its inputs, and what was trained. The bits depend
/// neither on threads nor on memory, nor those of a layer on which others are planned.
/// Errors: InvalidArgument (nothing to train, options, memory), Unsupported (the plan quantizes inputs), those of
/// calibrate(), of LayerTraining and of `watch`.
Result<std::vector<TrainedTensor>> trainLayers(const Decoder& decoder, const Plan& plan, const WindowedText& text,
    const WindowedText& heldOut, const LayersTrainingOptions& options, std::stop_token stop, Progress& progress,
    const LayersWatch& watch = {});

/// How the model will lie with these layers trained, for drafts of what will be written: see Student::outline().
ModelPointer layersOutline(const Decoder& decoder, const Plan& plan);
/// The model with the trained weights in place of its own, float32. Shares the layers.
ModelPointer withTrainedLayers(const Decoder& decoder, const std::vector<TrainedTensor>& trained);
/// The codes that were found, for whoever writes them to a file; of other tensors, those of `others`. Shares the
/// layers. What it makes refuses (Unsupported) to give a trained tensor under another scheme, but for floats that hold
/// what its codes stand for.
WeightQuantization layersQuantization(
    const Decoder& decoder, const std::vector<TrainedTensor>& trained, WeightQuantization others);

}  // namespace quantloupe
