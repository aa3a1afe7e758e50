// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"

#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// What a Hugging Face config.json says.
struct ConfigFile {
    ModelConfig config;           ///< tiedEmbeddings is `tied` or false
    std::optional<bool> tied {};  ///< tie_word_embeddings, where given
};

/// Reads the text of a config.json. Figures of multimodal models come from the nested text part (`text_config`).
/// What a missing field means by the format is filled in: key/value heads, head size, GPT-2's and Falcon's inner size.
/// A figure of the wrong type counts as missing. `where` names the file. Errors: Malformed, with the byte.
/// Source: interop notes, section 11.2.
Result<ConfigFile> parseModelConfig(std::string_view text, const std::string& where);

/// Fills in what follows from the other figures: head size, key/value heads.
void completeModelConfig(ModelConfig& config);

}  // namespace quantloupe
