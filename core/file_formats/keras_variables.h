// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/hdf5_file.h"
#include "core/file_formats/keras_layers.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// One variable of a Keras model.
struct KerasVariable {
    const Hdf5Dataset* dataset = nullptr;
    std::string layer;  ///< readable: "conv2d_1", "encoder/attention/query"; empty for the model's own
    std::string name;   ///< "kernel", "bias"; "vars/0" where the file does not tell
    std::string kind;   ///< class of the layer as in paths, "conv2d"; empty where unknown

    std::string fullName() const { return layer.empty() ? name : layer + "/" + name; }
};

struct KerasVariables {
    std::vector<KerasVariable> variables;
    std::uint64_t leftOut = 0;  ///< of the optimizer
};

/// Variables of a legacy .h5 file, listed by its attributes layer_names and weight_names; nullopt when it has none.
/// Repetitions in names are dropped: the dataset conv2d_1/conv2d_1_1/kernel:0 is "conv2d_1/kernel", and Transformers'
/// layer_._0 is "layer/0". `model` may be empty. Errors: Malformed (names a dataset that is not there).
Result<std::optional<KerasVariables>> legacyKerasVariables(
    const Hdf5Contents& contents, const KerasLayer& model, const std::string& where);

/// Variables of a Keras 3 .weights.h5 file, datasets …/vars/N; nullopt when it has none. Layers get the user's names
/// where `model` tells them, variables those that their layer's class gives them.
std::optional<KerasVariables> keras3Variables(const Hdf5Contents& contents, const KerasLayer& model);

/// Says how a variable is a matrix: kernels are [in, out] or [extents…, in, out]. Those of depthwise convolutions,
/// [extents…, in, multiplier], become the grouped convolutions [extents…, 1, in × multiplier] that they are, and the
/// projections of attention, [in, heads, size] and [heads, size, out], lose the bounds between heads.
void orientKerasVariable(TensorView& view, const KerasVariable& variable);

/// Role and block, from its name and kind.
NameParts partsOfKerasVariable(const KerasVariable& variable);

}  // namespace quantloupe
