// SPDX-License-Identifier: GPL-3.0-or-later
// The elementwise operations of operations.h, backwards: from the gradient of a loss by their results to that by what
// they were given. Sums in double.
#pragma once

#include "core/inference/gradients.h"
#include "core/inference/operations.h"
#include "core/inference/rotary.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe {

/// Adds ∂loss/∂x to `xGradient`, given x and the gradient of norm(x), and ∂loss by the norm's weights to `weights`.
/// @pre not in integers; `weights` is empty or of these sizes
void normRowsBackward(kernels::ConstMatrix x, const LoadedNorm& norm, NormKind kind, double epsilon,
    kernels::ConstMatrix resultGradient, kernels::MutableMatrix xGradient, NormGradient& weights);

/// The same for every head of each row; the gradient changes in place.
void normHeadsBackward(kernels::ConstMatrix values, std::size_t headDimension, const LoadedNorm& norm, NormKind kind,
    double epsilon, kernels::MutableMatrix gradient, NormGradient& weights);

/// d activate(x) / dx.
float activationSlope(float x, Activation activation);

/// Of rows [gate | up] and the gradient of activation(gate) · up: that of [gate | up]; where there is no gate, of up.
void activateRowsBackward(kernels::ConstMatrix gateUp, bool gated, Activation activation,
    kernels::ConstMatrix resultGradient, kernels::MutableMatrix gateUpGradient);

/// The gradient by what softCap() was given, in place. `capped`: what it gave.
void softCapBackward(std::span<const float> capped, float cap, std::span<float> gradient);

/// The gradient by what rotateHeads() was given, in place: turns back, and scales as it did.
void rotateHeadsBackward(kernels::MutableMatrix gradient, std::size_t headDimension, const RotaryTable& table,
    std::size_t firstPosition, PositionKind kind);

/// −log softmax(logits)[target] in nats, and its gradient by the logits in their place. @pre target < logits.size()
double crossEntropyBackward(std::span<float> logits, std::uint32_t target);

/// KL(softmax(teacher) ‖ softmax(logits)) in nats, and its gradient by the logits in their place.
double divergenceBackward(std::span<float> logits, std::span<const float> teacher);

}  // namespace quantloupe
