// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/gptq.h"
#include "core/calibration/layer_inputs.h"

#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// Adam's steps, and how strongly roundings are drawn to 0 or 1.
struct AdaRoundOptions {
    std::size_t iterations = 1'000;
    double learningRate = 1e-2;
    double pull = 0.01;      ///< weight of Σ 1 − |2h − 1|^β
    double freeShare = 0.2;  ///< of the iterations, without that pull; β then falls from 20 to 2 along a cosine
};

/// Learned rounding (Nagel et al. 2020, arXiv 2004.10568): whether each weight goes up or down on its grid, found by
/// gradient descent on h = clamp(1.2·sigmoid(α) − 0.1, 0, 1), Ŵ = scale·(clamp(⌊w/scale⌋ + h + zero) − zero). Works on
/// the second moments, that is on all tokens at once: loss = tr(E·H·Eᵀ)/tokens, divided by the mean square of an output
/// so that the pull means the same for every layer. Each iteration takes one product of the moments with all weights.
/// Blocks of rows run in parallel with the same bits for any number of threads. Empty codes: stopped.
/// @pre an integer format; the moments are there, tokens > 0; weights finite
RoundedLayer roundByAdaRound(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::vector<UnitGrid> grids, const LayerInputs& inputs, const AdaRoundOptions& options, const Workload& work);

/// β of an iteration; nothing while there is no pull.
std::optional<double> adaRoundBeta(std::size_t iteration, const AdaRoundOptions& options);

/// α at which Ŵ is W, and the gradient of the loss at any α: tr(E·H·Eᵀ)·outputWeight/tokens + pull·Σ(1 − |2h − 1|^β).
/// Row-major like the weights. What roundByAdaRound() goes by, for whole small layers. @pre as above
std::vector<float> adaRoundStart(
    const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount, std::span<const UnitGrid> grids);
std::vector<float> adaRoundGradient(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::span<const UnitGrid> grids, const LayerInputs& inputs, std::span<const float> alphas,
    std::optional<double> beta, double pull, double outputWeight);

}  // namespace quantloupe
