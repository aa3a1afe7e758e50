// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/zeroed_array.h"
#include "core/calibration/layer_inputs.h"
#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <span>
#include <stop_token>

namespace quantloupe {

/// The second moments of a layer's inputs as float32, divided by the mean of their diagonal, with something added to
/// the diagonal. Dead channels count 1, as for GPTQ.
struct DampedMoments {
    std::size_t columns = 0;
    ZeroedArray<float> values {};  ///< columns × columns, symmetric
    double scale = 1.0;            ///< what they were divided by

    const float* row(std::size_t index) const { return values.data() + index * columns; }
    kernels::Matrix<const float> panel() const { return {values.data(), columns, columns, columns}; }
};

/// damping: what is added, as a share of the diagonal's mean. Works on the threads of the caller's arena; what a stop
/// leaves is of no use. @pre the moments are there
DampedMoments dampedMoments(const LayerInputs& inputs, double damping, const std::stop_token& stop);

/// ‖X·Wᵀ‖² = tr(W·H·Wᵀ), in double, on the threads of the caller's arena; the same bits for any number.
/// What a stop leaves is of no use. @pre the moments are there; whole rows of inputs.columns weights
double outputPower(std::span<const float> weights, const LayerInputs& inputs, const std::stop_token& stop = {});

/// ‖X·(W − Ŵ)ᵀ‖² / ‖X·Wᵀ‖² = tr(E·H·Eᵀ) / tr(W·H·Wᵀ), in double: the share of the layer's output that is error.
/// 0 where nothing comes out. @pre as above; both equally long
double relativeOutputError(std::span<const float> weights, std::span<const float> quantized, const LayerInputs& inputs);

}  // namespace quantloupe
