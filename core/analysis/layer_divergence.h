// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/inference/decoder.h"
#include "core/inference/evaluate.h"
#include "core/inference/text_windows.h"
#include "core/schemes/scheme.h"
#include "core/study/study.h"

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// A tensor under a scheme, everything else as stored.
struct QuantizedLayer {
    std::size_t tensor = 0;  ///< index into Model::tensors
    Scheme scheme {};
};

/// Called on the calling thread as each is finished, in their order.
using LayerDivergenceSink = std::function<Result<void>(std::size_t index, const MeasuredDivergence& divergence)>;

/// What quantizing each of the tensors, alone, does to the predictions of the text. Layers' inputs are taken from the
/// model, where schemes need them. Errors: Unsupported (a scheme), those of measureVariants().
Result<void> measureLayerDivergences(const Decoder& decoder, const WindowedText& text,
    std::span<const QuantizedLayer> layers, const EvaluationLimits& limits, std::stop_token stop, Progress& progress,
    const LayerDivergenceSink& sink);

/// Where one-point estimates start (error_metric.h): cheap, and harsh enough to be seen over the rounding of a forward
/// pass.
const Scheme& onePointScheme();

/// Those of `tensors` (indices), under each scheme, whose divergence on this text the study does not know.
std::vector<QuantizedLayer> withoutDivergence(const Model& model, const StudySnapshot& study,
    std::span<const std::size_t> tensors, std::span<const Scheme> schemes, const WindowedText& text);

/// What the study knows of a layer, with its divergence: to be added to it. Errors: Conflict (the layer was not
/// measured under the scheme).
Result<TensorMeasurement> withDivergence(
    const Model& model, const StudySnapshot& study, const QuantizedLayer& layer, const MeasuredDivergence& divergence);

/// Fingerprint of a text's tokens, its windows and what of them is scored; never 0.
std::uint64_t fingerprintOf(const WindowedText& text);

}  // namespace quantloupe
