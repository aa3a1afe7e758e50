// SPDX-License-Identifier: GPL-3.0-or-later
// What is trained of a model, and how gradients come to it.
#pragma once

#include "core/inference/backward.h"
#include "core/model/model.h"
#include "core/algorithms/adam.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Numbers that are trained, with all that an optimizer knows of them.
struct TrainedValues {
    std::vector<float> values {};
    std::vector<float> gradient {};
    AdamState adam {};
};

/// Weights and biases of all norms.
std::set<std::size_t> normVectorsOf(const Decoder& decoder);

/// Where the gradient by a tensor is summed up; null where it is not trained.
using GradientPlace = std::function<TrainedValues*(std::size_t tensor)>;

/// Adds what a part of a backward pass gave. Runs in the caller's arena; the bits do not depend on its threads.
/// Errors: Cancelled. @pre trained matrices are stored by rows, and all of their layers are as wide
Result<void> addGradients(const PartGradients& part, const GradientPlace& place, const std::stop_token& stop);

/// The norm of all gradients together. Where it is above `clipNorm`, scales them down to that; 0: any. `step` counts
/// from 1. Errors: Malformed (the norm is not finite), naming `model`.
Result<double> clipGradients(
    std::span<TrainedValues* const> all, double clipNorm, const Model& model, std::uint64_t step);

}  // namespace quantloupe
