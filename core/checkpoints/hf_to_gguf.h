// SPDX-License-Identifier: GPL-3.0-or-later
// What a Hugging Face model says, said in GGUF. For use inside this room.
#pragma once

#include "core/checkpoints/checkpoint_target.h"
#include "core/checkpoints/gguf_container.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// general.architecture of a model_type; empty where the conversion is not built.
std::string_view ggufArchitecture(std::string_view modelType);

/// Metadata of the figures. Errors: Unsupported, naming what is not built.
Result<GgufFields> ggufMetadata(const Model& model);

/// The vocabulary of tokenizer.json beside the model. What cannot be carried over is said in `warnings`.
/// Errors: Malformed, CannotOpen.
Result<void> addGgufTokenizer(GgufFields& fields, const Model& model, std::vector<std::string>& warnings);

/// Divisors of rotary frequencies where the model scales them by wave length ("llama3"); empty for others.
/// Source: convert_hf_to_gguf of llama.cpp, and interop notes.
std::vector<float> rotaryDivisors(const Model& model);

}  // namespace quantloupe
