// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/adaround.h"
#include "core/algorithms/inverse_factor.h"
#include "core/algorithms/trained_rows.h"
#include "core/algorithms/weight_transform.h"
#include "core/base/progress_share.h"
#include "core/calibration/layer_inputs.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What the notation of schemes leaves open. The defaults are those of the algorithms' authors, but for act-order with
/// static groups: the better roundings that still fit plain groups of columns.
struct CalibrationOptions {
    FactorOptions factor {};
    /// gptq: groups get their grids from the weights as they were, not as they are when their turn comes. Act-order has
    /// no other way.
    bool staticGroups = true;
    double smoothing = 0.5;  ///< smooth: α; searchSmoothing() finds one
    /// awq: cut ranges after scaling. Off for q and k, as in the original. With gptq or cd, the grids are cut.
    bool clip = true;
    AdaRoundOptions adaRound {};
    RowTrainingOptions training {};  ///< qat
};

/// A layer quantized by what calibration taught about its inputs.
/// Codes and grids are those of `quantizer`: decode() gives transform(W), rounded, which packMatrix() takes. Formats
/// without grids have their rows in `packed`.
struct CalibratedWeights {
    Quantizer quantizer;
    std::vector<std::uint32_t> codes;  ///< rows × columns
    std::vector<UnitGrid> grids;       ///< empty: a format without
    std::vector<std::byte> packed {};  ///< of such a format: the bytes of all rows
    /// What was done to W before: columnFactors by awq or smooth, to be divided out of the operation in front (the gain
    /// of a norm, the rows of v or up); the rotation by hadamard, which the input needs at run time.
    WeightTransform transform {};
    std::vector<float> weights {};  ///< Ŵ with the transform undone: what the layer computes with, in place of W
    std::vector<float> bias {};     ///< biascorr: to be added to the outputs, one per row; empty: none
    double damping = 0.0;           ///< gptq, cd, qat: what share of the moments' mean it took
};

/// Quantizes one layer, or the rows of several that read the same inputs one above the other, by a scheme with any
/// algorithms; the order of work is fixed: scaling (awq, smooth), rotation, grids (hqq, awq's clipping, cd's least
/// squares, else the range; imatrix weighs by E x²), rounding (gptq, cd, adaround, else to nearest; qat trains what cd,
/// or where the scheme does not take that gptq, has found), the way back, biascorr as the mean of what the output lost.
/// Parallel inside the caller's arena, the same bits for any number of threads. Errors: Unsupported (scheme, named),
/// InvalidArgument (sizes that do not fit, numbers that are not finite, parts of the calibration that are missing,
/// moments that do not factor), Cancelled.
Result<CalibratedWeights> quantizeWithInputs(std::span<const float> weights, std::size_t rowCount, const Scheme& scheme,
    const LayerInputs& inputs, const CalibrationOptions& options, std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
