// SPDX-License-Identifier: GPL-3.0-or-later
// The elementwise operations of a decoder, on rows of tokens. Sums in double.
#pragma once

#include "core/inference/architectures.h"
#include "core/inference/weights.h"
#include "core/kernels/dense_algebra.h"
#include "core/kernels/norm_rows.h"

#include <cstddef>
#include <span>

namespace quantloupe {

/// result = norm(x), row by row; the same matrix may be both. In integers a row is rounded to 16 bits first, by its
/// largest value, and only the norm's own weights are floating.
void normRows(
    kernels::ConstMatrix x, const LoadedNorm& norm, NormRule rule, double epsilon, kernels::MutableMatrix result);

/// The same for every head of each row, in place.
void normHeads(
    kernels::MutableMatrix values, std::size_t headDimension, const LoadedNorm& norm, NormRule rule, double epsilon);

float activate(float x, Activation activation);

/// What a norm of this kind does, for any row.
kernels::NormScale normScaleFor(NormKind kind);

/// Of rows [gate | up]: activation(gate) · up, into the tight rows of `result`, half as wide. Where there is no gate:
/// activation(up). `result` may be the memory of `gateUp`.
void activateRows(kernels::ConstMatrix gateUp, bool gated, Activation activation, kernels::MutableMatrix result);

/// cap · tanh(x / cap). @pre cap > 0
void softCap(std::span<float> values, float cap);

/// kernels::softmax() by kernels::integerSoftmax(), of distances to the largest rounded to its fraction bits. @pre not
/// empty
void softmaxInIntegers(std::span<float> values);

/// x += addend, row by row.
void addRows(kernels::ConstMatrix addend, kernels::MutableMatrix x);

/// Whether none is NaN or infinite.
bool allFinite(std::span<const float> values);

/// Adds the same values to every row.
void addBias(std::span<const float> bias, kernels::MutableMatrix x);

}  // namespace quantloupe
