// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/quantized_activations.h"
#include "core/analysis/smoothing.h"

#include <stop_token>

namespace quantloupe {

/// For each norm in front of layers that the plan smooths, the α of 0, 0.05 … 1 with which their outputs on
/// calibration's sample stay closest to what they are (searchSmoothing()), weights and inputs rounded as the plan says.
/// `ranges` are of inputs as they are. Takes a few times the memory of the layers behind one norm in float32.
/// Works in the caller's task arena. Errors: those of smoothInputs(); Unsupported (inputs of which no sample is known,
/// schemes without grids, naming the tensor), Cancelled. Experts that no token was routed to have no say.
Result<SmoothingStrengths> searchStrengths(
    const Decoder& decoder, const Plan& plan, const ActivationRanges& ranges, std::stop_token stop);

}  // namespace quantloupe
