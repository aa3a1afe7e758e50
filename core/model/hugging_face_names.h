// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// The way back from GGUF for Llama-like families (Llama, Mistral, Mixtral, Qwen, Gemma, Phi): the Hugging Face name of
/// a tensor; nullopt where there is no single one, as of stacked experts, or the name is not known.
std::optional<std::string> huggingFaceName(std::string_view ggufName, std::string_view architecture);

}  // namespace quantloupe
