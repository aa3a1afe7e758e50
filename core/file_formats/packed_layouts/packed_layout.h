// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/packed_layouts/quantization_settings.h"
#include "core/file_formats/packed_layouts/stored_parts.h"

#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace quantloupe {

/// The weight that several stored tensors make up.
struct PackedWeight {
    Shape shape {};  ///< of the weight: [out_features, in_features], or a stack of such matrices
    std::shared_ptr<const RowDecoder> decoder {};
    std::string_view suffix = ".weight";  ///< of its name, behind that of the module
};

/// One way in which tools store quantized weights: one row of the table, in a file of its own.
struct PackedLayout {
    std::string_view name;     ///< "GPTQ"
    std::string_view anchors;  ///< suffixes of the tensors that hold the codes, space separated
    /// Looks at a module by the tensor that holds its codes: nothing where it is stored in another way. Reads group
    /// indices and code books, no codes and no scales.
    /// Errors, which leave the tensors listed as stored: Malformed (the parts do not fit each other, one is missing),
    /// Unsupported (a variant that is not built).
    Result<std::optional<PackedWeight>> (*recognise)(StoredParts& parts, const QuantizationSettings& settings);
};

/// Every built-in layout, in probing order.
std::span<const PackedLayout* const> packedLayouts();

/// Replaces the tensors that make up a packed weight by one, which decodes to the values the codes stand for: of
/// `B.qweight`, `B.qzeros`, `B.scales` and `B.g_idx` stays `B.weight`, in the place of the codes. Reads what
/// config.json (or quantize_config.json) beside the model says about it. Adds warnings that tell what was found, and
/// name what stays as stored because its parts do not fit each other. @pre names are unique
void joinPackedWeights(Model& model);

}  // namespace quantloupe
