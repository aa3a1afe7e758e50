// SPDX-License-Identifier: GPL-3.0-or-later
// What llama-quantize makes of a scheme and of a tensor. Source: llama.cpp's quantization tool as of 2026.
#pragma once

#include "core/schemes/scheme.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// The ggml type that stands for a scheme.
struct GgmlChoice {
    DType type = DType::F16;
    std::string_view difference {};  ///< how it differs from the scheme, as a clause; empty when the grid is the same
};

/// nullopt when ggml has nothing like it.
std::optional<GgmlChoice> ggmlTypeFor(const Scheme& scheme);

/// As rules spell it: "q4_K", "bf16".
std::string ggmlTypeName(DType type);

/// The type that llama-quantize falls back to when a row of `columns` weights does not fill whole blocks.
DType ggmlTypeForRow(DType type, std::uint64_t columns);

/// The base file type whose plain tensors have this type: "Q4_K_S" for q4_K. Empty when there is none.
std::string_view ggmlFileType(DType type);

/// Whether llama-quantize leaves the tensor alone whatever the rules say: norms, biases, routers, position tables,
/// vectors and the like.
bool ggmlLeavesAlone(std::string_view ggufName, std::size_t rank, std::uint64_t rows);

}  // namespace quantloupe
