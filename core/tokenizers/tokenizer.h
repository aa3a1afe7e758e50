// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"
#include "core/tokenizers/tokenizer_parts.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Whether the texts of control tokens, such as "</s>", mean those tokens where a text holds them.
enum class SpecialText : std::uint8_t { IsText, IsToken };

/// Turns texts into the token ids of one language model and back, as the original of its tokenizer does. Immutable:
/// any number of threads may use one at the same time.
class Tokenizer
{
public:
    /// @pre the vocabulary is indexed, added tokens and the model are finished
    explicit Tokenizer(TokenizerParts parts);

    /// Token ids of `text`, in time O(n log n) at worst. `addSpecial`: with what the tokenizer puts around a text, such
    /// as BOS. Bytes that are not UTF-8 become byte tokens where the original works so (GGUF "llama", llama2.c), U+FFFD
    /// elsewhere. @pre text.size() < 2³⁰
    std::vector<TokenId> encode(
        std::string_view text, bool addSpecial, SpecialText specialText = SpecialText::IsText) const;

    /// The bytes that `ids` spell, from the start of a text: the space that encode() puts in front is taken away.
    /// Control and unknown tokens spell nothing unless `showSpecial`; an id outside the vocabulary spells U+FFFD. Ids
    /// from the middle of a text may begin or end within a character. decode(encode(text, false)) gives well-formed
    /// text back exactly where restoresTexts() says so.
    std::string decode(std::span<const TokenId> ids, bool showSpecial = false) const;

    /// True where no rewriting (Unicode normal form, collapsing spaces) and no lack of byte tokens loses anything. Even
    /// then U+2581 comes back as a space from vocabularies that write spaces so.
    bool restoresTexts() const;

    /// One more than the largest id: what a model's embedding must have rows for.
    std::size_t vocabularySize() const { return m_parts.vocabulary.size(); }
    /// The bytes of one token as they stand in the vocabulary; of byte-level ones decoded. Empty outside it.
    std::string_view piece(TokenId id) const;
    PieceKind kind(TokenId id) const;
    /// The id whose text is `piece`; of several the normal one.
    std::optional<TokenId> find(std::string_view piece) const;

    std::optional<TokenId> bos() const { return m_parts.bos; }
    std::optional<TokenId> eos() const { return m_parts.eos; }
    /// What encode() puts before and behind a text when special tokens are wanted.
    std::span<const TokenId> prefix() const { return m_parts.prefix; }
    std::span<const TokenId> suffix() const { return m_parts.suffix; }

    /// "byte-level BPE, llama-3" for people.
    const std::string& description() const { return m_parts.description; }

private:
    void encodeStretch(std::string_view text, class EncodeState& state) const;

    TokenizerParts m_parts;
};

using TokenizerPointer = std::shared_ptr<const Tokenizer>;

/// Reads a tokenizer from a file of any kind that holds one: tokenizer.json, SentencePiece's tokenizer.model, GGUF,
/// llama2.c's tokenizer.bin; or from a folder with such a file. Told apart by content.
/// Errors: CannotOpen, NotThisFormat, Truncated, Malformed, Unsupported (names what), each with file, byte and reason.
Result<TokenizerPointer> openTokenizer(const std::filesystem::path& path);

/// The tokenizer that belongs to a model: of its GGUF file, or beside its first file tokenizer.json, tokenizer.model,
/// tokenizer.bin or tok<size of the vocabulary>.bin. Errors: as above; NotThisFormat where there is none; Conflict
/// where it has more tokens than the model.
Result<TokenizerPointer> openTokenizer(const Model& model);

}  // namespace quantloupe
