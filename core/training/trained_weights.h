// SPDX-License-Identifier: GPL-3.0-or-later
// Weights on their way from a model into a training, and back as what is written. For use inside this room.
#pragma once

#include "core/model/model.h"
#include "core/number_formats/quantized_tensor.h"
#include "core/training/trained_layer.h"

#include <memory>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// All of a matrix as float32. Errors: Unsupported (it is stored by columns), Malformed (NaN or an infinity),
/// Cancelled, those of reading it.
Result<std::vector<float>> weightsToTrain(const ModelTensor& stored, std::stop_token stop);

/// Makes a tensor show float32 rows in memory as they lie. The values outlive it.
void showFloats(ModelTensor& tensor, std::span<const float> values);

/// The model with these tensors as float32: how it will lie once they are trained. They are 0, in memory that is not
/// touched until somebody reads it.
ModelPointer outlineOf(const Model& model, const std::set<std::size_t>& trained);

/// A trained tensor under the scheme that it was trained under, or as floats that hold what its codes stand for.
/// Borrows what `tensor` borrows. Errors: Unsupported, naming it.
Result<std::shared_ptr<const QuantizedTensor>> learnedAs(
    const Scheme& scheme, const LearnedTensor& tensor, std::span<const float> quantized, const std::string& name);

}  // namespace quantloupe
