// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>
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
};

/// Finds the layers of a model, which must outlive it.
class KerasLayerIndex
{
public:
    explicit KerasLayerIndex(const KerasLayer& model);

    /// The layer that Keras 3 stores as `key` below the "layers" of one: its kind, numbered from the second of a kind
    /// on.
    const KerasLayer* byKey(const KerasLayer& around, std::string_view key) const;
    /// The first layer of the user's name, in models inside the model too. nullptr when there is none.
    const KerasLayer* byName(std::string_view name) const;

private:
    void add(const KerasLayer& layer);

    std::map<std::pair<const KerasLayer*, std::string>, const KerasLayer*> m_byKey;
    std::map<std::string_view, const KerasLayer*> m_byName;
};

/// Reads config.json of a .keras archive, or the attribute model_config of an .h5 file. Layers of code are text like
/// all else. `where` names it. Errors: Malformed; Unsupported for more than a million layers.
Result<KerasLayer> parseKerasConfig(std::string_view json, const std::string& where);

}  // namespace quantloupe
