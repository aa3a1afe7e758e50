// SPDX-License-Identifier: GPL-3.0-or-later
// Gradients as a measure of what matters. Sources: Martens & Grosse, "Optimizing neural networks with
// Kronecker-factored approximate curvature" (2015); Kim et al., "SqueezeLLM" (2023).
#pragma once

#include "core/base/progress.h"
#include "core/calibration/calibrate.h"
#include "core/calibration/gradient_file.h"
#include "core/inference/text_windows.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <stop_token>
#include <string>

namespace quantloupe {

/// Layers with more outputs keep Σ g² by output alone, no products between outputs: an output head would take
/// gigabytes.
constexpr std::size_t mostGradientOutputs = 16'384;

/// What of a text is enough: a few thousand predictions rank the layers as well as all of it.
constexpr std::size_t gradientTokens = 4'096;

/// The first windows of a text, of about so many tokens together, at least one; every prediction in them counts.
WindowedText windowsForGradients(const WindowedText& text, std::size_t tokens);

/// GradientText::identity of what gatherGradients() gathers.
std::string gradientIdentity(const WindowedText& text, bool fisher);

/// Takes what was gathered of one layer. Called by one thread at a time.
using GradientLayerSink = std::function<Result<void>(GatheredGradients gathered)>;

/// Runs the text once forward and once back, the loss of a prediction being −log p of the text's own next token, and
/// hands on what flowed through each linear layer: the head's first, then block by block from the last. Layers whose
/// names (LayerName::text()) are in `known` are not gathered; of experts, those that no token was routed to neither.
/// `fisher`: whether the squared gradients of all weights are gathered, 4 bytes per weight of a block. The bits do not
/// depend on the number of threads. Errors: InvalidArgument (no windows, the memory is too little), those of the sink
/// and of runBackward(). `text.name` is not filled in.
Result<void> gatherGradients(const Decoder& decoder, const WindowedText& text, bool fisher,
    const CalibrationLimits& limits, const std::set<std::string>& known, const GradientLayerSink& sink,
    std::stop_token stop, Progress& progress);

}  // namespace quantloupe
