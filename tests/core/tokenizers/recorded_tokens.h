// SPDX-License-Identifier: GPL-3.0-or-later
// Small tokenizers with the ids that the original libraries gave; record_tokens.py wrote them.
#pragma once

#include "core/tokenizers/tokenizer.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/golden_layers.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace quantloupe::tests {

struct RecordedTokenizer {
    std::string name;
    std::string file;                       ///< content: tokenizer.json or tokenizer.model
    std::vector<std::vector<TokenId>> ids;  ///< by text
};

struct RecordedTokens {
    std::vector<std::string> texts;
    std::vector<RecordedTokenizer> tokenizerJson {}, sentencePiece {};
    std::vector<std::vector<TokenId>> ggufLlama;  ///< by text, with the vocabulary of the corpus
};

inline RecordedTokens recordedTokens()
{
    const auto record = nlohmann::json::parse(
        contentOf(std::filesystem::path(QUANTLOUPE_SOURCE_DIR) / "tests/core/tokenizers/recorded_tokens.json"));
    RecordedTokens recorded {.texts = record["texts"], .ggufLlama = record["gguf_llama"]};
    for (const auto& entry : record["tokenizer_json"]) {
        auto document = entry["document"];
        for (const char* key : {"vocab", "merges"})
            if (auto& value = document["model"][key]; value.is_string())
                value = record[value.get<std::string>()];
        recorded.tokenizerJson.push_back({entry["name"], document.dump(), entry["ids"]});
    }
    for (const auto& entry : record["sentencepiece"]) {
        const auto hex = QByteArray::fromStdString(entry["model"].get<std::string>());
        recorded.sentencePiece.push_back({entry["name"], QByteArray::fromHex(hex).toStdString(), entry["ids"]});
    }
    return recorded;
}

}  // namespace quantloupe::tests
