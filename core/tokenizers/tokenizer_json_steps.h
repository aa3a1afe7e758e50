// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of a tokenizer.json around its model.
#pragma once

#include "core/tokenizers/json_tree.h"
#include "core/tokenizers/tokenizer_parts.h"

namespace quantloupe {

/// Reads normalizer, pre_tokenizer, decoder and post_processor into a tokenizer's parts. What the tokenizer would do
/// otherwise than we is refused by name. Errors: Unsupported, Malformed, with the byte.
/// Source: Hugging Face tokenizers, the modules of these names.
class TokenizerJsonSteps
{
public:
    TokenizerJsonSteps(TokenizerParts& parts, std::string where)
        : m_parts(parts)
        , m_where(std::move(where))
    {
    }

    Result<void> readNormalizer(const JsonNode& node);
    Result<void> readPreTokenizer(const JsonNode& node);
    Result<void> readDecoder(const JsonNode& node);
    /// Fills prefix and suffix; the ids are not checked.
    Result<void> readPostProcessor(const JsonNode& node);

    /// The pre-tokenizer turns text into the byte alphabet.
    bool byteLevel() const { return m_byteLevel; }
    /// The name of the word pattern, for people; empty when there is none.
    const std::string& patternName() const { return m_patternName; }

private:
    tl::unexpected<Error> unsupported(const JsonNode& node, const std::string& what) const;
    tl::unexpected<Error> malformed(const JsonNode& node, const std::string& what) const;
    /// Reads every element of the array `key` by `read`.
    template<class Read>
    Result<void> readSequence(const JsonNode& node, std::string_view key, Read read);

    Result<void> readReplace(const JsonNode& node);
    Result<void> readSplit(const JsonNode& node);
    Result<void> readMetaspace(const JsonNode& node);
    Result<void> readByteLevel(const JsonNode& node);
    Result<void> readTemplate(const JsonNode& node);
    void addPattern(const WordPattern& pattern);

    TokenizerParts& m_parts;
    std::string m_where;
    bool m_byteLevel = false;
    std::string m_patternName {};
};

}  // namespace quantloupe
