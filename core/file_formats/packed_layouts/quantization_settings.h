// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// What a checkpoint says about some of its quantized weights.
struct WeightSettings {
    std::optional<std::uint64_t> bits {}, groupSize {};  ///< group size absent: not said, or whole rows
    std::optional<bool> symmetric {};
    std::vector<std::uint64_t> block {};  ///< rows and columns that share a scale, where stated
    std::string mode {};                  ///< MLX: "affine", "mxfp4", …
};

/// The `quantization_config` of a config.json, or MLX's `quantization`, as far as decoding needs it. All of it is
/// optional: what tensors say by their shapes is taken from there.
struct QuantizationSettings {
    std::string method {};            ///< quant_method: "gptq", "awq", "compressed-tensors", …; empty: not said
    std::string checkpointFormat {};  ///< GPTQ: "gptq" or "gptq_v2"
    std::string version {};           ///< AWQ: "gemm", …
    std::string linearClass {};       ///< BitNet: "bitlinear" or "autobitlinear"
    WeightSettings weights {};
    std::vector<WeightSettings> groups {};                          ///< of compressed-tensors, in file order
    std::map<std::string, WeightSettings, std::less<>> modules {};  ///< MLX: of modules that differ, by path
};

/// Reads the text of a config.json, or of a quantize_config.json, which is such an object by itself. A value of the
/// wrong type counts as missing. `where` names the file. Errors: Malformed, with the byte.
/// Source: interop notes, section 10.
Result<QuantizationSettings> parseQuantizationSettings(std::string_view text, const std::string& where);

}  // namespace quantloupe
