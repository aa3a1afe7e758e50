// SPDX-License-Identifier: GPL-3.0-or-later
// What a recipe comes to in ggml's types, for the tools that quantize GGUF files.
#pragma once

#include "core/export_targets/emission.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

inline constexpr std::string_view kGgmlEmbedding = "token_embd.weight";
inline constexpr std::string_view kGgmlOutput = "output.weight";

/// One tensor of the GGUF file, perhaps a stack of several of ours.
struct GgmlTarget {
    std::string name;
    DType type = DType::F16;
    std::uint64_t columns = 0;
    std::uint64_t parameters = 0;
    bool requantized = false;  ///< the checkpoint holds it quantized already, in another type
    bool mixed = false;        ///< its parts were to have different types
};

/// Every tensor that llama-quantize would quantize, with a type that its rows fill. Errors: Unsupported.
Result<std::vector<GgmlTarget>> collectGgmlTargets(const Plan& plan, const ModelCatalog& model, Remarks& remarks);

/// The quantized type that holds most parameters: rules apply only under a quantized base type.
DType ggmlBaseType(const std::vector<GgmlTarget>& targets);

/// nullptr where there is none of that name.
const GgmlTarget* findGgmlTarget(const std::vector<GgmlTarget>& targets, std::string_view name);

/// Names by type in order of appearance, so that a file reads from input to output. Without embedding and output head,
/// for which options take precedence over rules.
std::vector<std::pair<DType, std::vector<std::string>>> ggmlRules(const std::vector<GgmlTarget>& targets);

/// What rules of llama-quantize say of each tensor: `regex=type` between white space, as in a tensor-type file, or a
/// whole command line with its --tensor-type, --token-embedding-type and --output-tensor-type. The first rule whose
/// lower-cased regex is found in the GGUF name wins; the two options win over rules.
Result<ImportedPlans> readLlamaCppRules(std::string_view text, const ModelCatalog& model, const std::string& where);

}  // namespace quantloupe
