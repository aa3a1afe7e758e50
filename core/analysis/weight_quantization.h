// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"
#include "core/number_formats/quantized_tensor.h"

namespace quantloupe {

/// The codes that `analyze` measures, for whoever writes them to a file; with what importance the model's tensors have
/// and what is known of their inputs. Borrows the model. Errors: see WeightQuantization.
WeightQuantization weightQuantization(const Model& model);

}  // namespace quantloupe
