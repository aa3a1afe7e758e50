// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/inference/decoder.h"
#include "core/inference/evaluate.h"
#include "core/inference/text_windows.h"
#include "core/schemes/scheme.h"
#include "core/study/measurement.h"

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>

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

/// Fingerprint of a text's tokens, its windows and what of them is scored; never 0.
std::uint64_t fingerprintOf(const WindowedText& text);

}  // namespace quantloupe
