// SPDX-License-Identifier: GPL-3.0-or-later
// Quantization settings that a recipe file and a checkpoint have in common.
#pragma once

#include "core/export_targets/export_target.h"
#include "core/recipes/plan.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace quantloupe {

/// How compressed-tensors stores weights of this scheme: "pack-quantized", "int-quantized", "float-quantized", …
std::string_view compressedTensorsFormat(const Scheme& scheme, bool weightOnly);

/// The `quantization_config` of compressed-tensors. Errors: Unsupported naming the tensor and scheme.
Result<nlohmann::ordered_json> compressedTensorsConfig(
    const Recipe& recipe, const Plan& plan, const ModelCatalog& model);

/// What such a configuration says of each tensor: `ignore` first, then exact names, then patterns in the order of their
/// text, then classes.
Result<ImportedPlans> readCompressedTensors(std::string_view text, const ModelCatalog& model, const std::string& where);

/// quantize_config.json of GPTQModel. Errors: Unsupported naming the tensor and scheme.
Result<nlohmann::ordered_json> gptqConfig(const Plan& plan, const ModelCatalog& model);

/// Warns of tensors that vLLM joins with neighbours of another scheme (q, k and v; gate and up).
void warnOfSplitFusedTensors(const Plan& plan, const ModelCatalog& model, std::vector<std::string>& warnings);

}  // namespace quantloupe
