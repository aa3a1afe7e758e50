// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/progress.h"
#include "core/calibration/input_gatherer.h"
#include "core/calibration/residual_stream.h"
#include "core/inference/text_windows.h"

#include <cstdint>
#include <functional>
#include <set>
#include <stop_token>
#include <string>

namespace quantloupe {

struct CalibrationLimits {
    unsigned threads = 0;                             ///< 0: all the process may use
    std::uint64_t memory = std::uint64_t {4} << 30U;  ///< bytes for weights, activations and moments
};

/// Takes what was gathered of one input. Called by one thread at a time.
using InputSink = std::function<Result<void>(GatheredInput gathered)>;

/// Tokens that a text's windows hold.
std::uint64_t tokensOf(const WindowedText& text);

/// Hash of what the values of a run on a text depend on: the tokens and how they are cut into windows. 32 characters.
std::string identityOf(const WindowedText& text);

/// Runs the model on every window of a text and hands on what goes into each of its linear layers, block by block, the
/// output head last: all windows go through a block, as many at once as the memory allows, before the next is read.
/// Goes on from the block that `stream` says; inputs whose keys are in `known` are not gathered. An input is handed on
/// before the stream moves on: what was killed can always be repeated from the stream. Every token counts. The bits
/// depend neither on the number of threads nor on the memory.
/// Errors: InvalidArgument (no windows, the memory is too little, those of requireReadable()), Cancelled, Malformed,
/// those of the sink and of reading weights.
Result<void> calibrate(const Decoder& decoder, const WindowedText& text, const GatheringOptions& options,
    const CalibrationLimits& limits, const std::set<std::string>& known, ResidualStream& stream, const InputSink& sink,
    std::stop_token stop, Progress& progress);

}  // namespace quantloupe
