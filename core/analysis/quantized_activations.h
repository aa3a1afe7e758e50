// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/calibration/model_calibration.h"
#include "core/inference/input_replacement.h"
#include "core/model/model.h"
#include "core/recipes/plan.h"
#include "core/schemes/scheme.h"

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// Smallest and largest input of each channel of a layer, as they were when the model ran on text.
struct ChannelRanges {
    std::vector<float> low {}, high {};

    /// Those of inputs whose channels were divided by these, one each.
    ChannelRanges dividedBy(std::span<const float> divisors) const;
    bool operator==(const ChannelRanges&) const = default;
};

/// By the name of the layer's tensor.
using ActivationRanges = std::map<std::string, ChannelRanges, std::less<>>;

/// Those that calibration saw; experts of a stack share the widest of theirs.
ActivationRanges activationRangesOf(const ModelCalibration& calibration);

/// What a runtime that quantizes activations makes of a layer's inputs by a scheme:
///
/// - `token`: one scale per token, from that token. `gN`: one per N channels of a token. Formats with a block:
/// likewise.
/// - `tensor`: with ranges, one scale from the ends of all channels' ranges (static: what lies beyond is clamped);
///   without, one for everything that enters the layer in one call, which is one whole sequence (dynamic).
/// - `channel`: one scale per input channel, from its range (static).
///
/// Scales live in registers and are float32, s16 included; sbf16 and se8m0 are what the scheme then asks for. nvfp4's
/// second scale is that of `tensor`. `ranges` may be null. InputReplacer::clip: static ranges and percentiles clip what
/// lies beyond their outermost levels; min-max ranges of the inputs themselves do not. Errors: Unsupported, with what
/// to write instead.
Result<InputReplacer> quantizedInputs(const Scheme& scheme, std::size_t columns, const ChannelRanges* ranges);

/// What a runtime with a quantized cache makes of keys and values: `token` and `channel`, one scale per token and head;
/// `gN`, one per N numbers of a head; q8_0, q4_0, q4_1, q5_0 and q5_1 as llama.cpp keeps them. Scales lie in the cache
/// and are rounded as the scheme says, s16 included. Errors: Unsupported, with what to write instead.
Result<CacheReplacer> quantizedCache(const Scheme& scheme, std::size_t headDimension);

/// The plan's activation schemes, those of layers by the tensors' names in `ranges`. Layers with the same scheme and
/// the same ranges share a replacer. Errors: as quantizedInputs(), naming the tensor.
Result<InputHook> quantizedInputs(const Model& model, const Plan& plan, const ActivationRanges& ranges);

}  // namespace quantloupe
