// SPDX-License-Identifier: GPL-3.0-or-later
// Quantization-aware training of one matrix by itself. Sources: Bengio, Léonard & Courville, "Estimating or propagating
// gradients through stochastic neurons" (2013); Esser et al., "Learned step size quantization" (2020).
#pragma once

#include "core/algorithms/gptq.h"
#include "core/calibration/layer_inputs.h"

#include <cstdint>
#include <span>

namespace quantloupe {

/// Measured on layers of stories260K and a synthetic one of 512 × 512, int2 and int3, groups of 32 and channels: of
/// what the outputs lose behind coordinate descent on unseen text, training wins back 6 to 12 % (mean) where it learns
/// scales, 4 to 11 % where whole zero points stay beside them, and 2 to 3 % where it learns floating minima, whose
/// least squares are good already.
struct RowTrainingOptions {
    /// Each is followed by coordinate descent on the grids as trained. A round that gains less than `leastGain` is the
    /// last.
    unsigned rounds = 3;
    std::uint64_t steps = 120;  ///< of Adam in each round
    /// Highest, as a share of the row's mean step, √12 · rms(W − Ŵ), where the round begins.
    double learningRate = 1e-2;
    double gridRate = 2.0;     ///< of scales and minima, as a multiple of learningRate
    double leastGain = 0.005;  ///< share of the loss
};

/// Trains weights, and the grids where scales (sym, symf; of asym too, zero points stay) or scales and minima (asymf)
/// are the unit's own numbers, from the codes and grids given: minimizes (w − ŵ)·H′·(w − ŵ)ᵀ of each row through the
/// straight-through estimator, H′ the second moments with `damping` times their mean on the diagonal. Other grids stay
/// as they are. Of each row the iterate of least loss is kept; a round that does not lower its loss by H itself, in
/// double, leaves it alone.
///
/// Rows know nothing of each other; blocks of them run in parallel, with the same bits for any number of threads. Each
/// thread holds some 40 bytes for each weight of one block; of the whole matrix codes and grids are held twice.
/// Errors: those of TrainedQuantizer::create(), Cancelled.
/// @pre the moments are there; codes and grids are those of the quantizer for these weights, units one row high
Result<void> trainRows(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, double damping, const RowTrainingOptions& options, RoundedLayer& layer,
    const Workload& work);

}  // namespace quantloupe
