// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// A layer of a Keras model, as its configuration describes it; a model is the outermost layer.
struct KerasLayer {
    std::string className;            ///< "Conv2D"
    std::string name;                 ///< the user's, "conv2d_3"
    std::vector<KerasLayer> layers;   ///< of a model inside the model, in order
    std::vector<KerasLayer> wrapped;  ///< the one inside a Bidirectional or TimeDistributed

    /// The name of the class as Keras writes it into paths: "max_pooling2d".
    std::string kind() const;
    /// The layer that Keras 3 stores as `key` below "layers": its kind, numbered from the second of a kind on.
    const KerasLayer* findByKey(std::string_view key) const;
    /// The layer with the user's name, here or in models inside. nullptr when there is none.
    const KerasLayer* findByName(std::string_view layerName) const;
};

/// Reads config.json of a .keras archive, or the attribute model_config of an .h5 file. Layers of code are text like
/// all else. `where` names it. Errors: Malformed.
Result<KerasLayer> parseKerasConfig(std::string_view json, const std::string& where);

}  // namespace quantloupe
