// SPDX-License-Identifier: GPL-3.0-or-later
// The vocabulary in a GGUF file: "llama" (SentencePiece BPE by scores) and "gpt2" (byte-level BPE by merges), cut as
// llama.cpp cuts them. Source: interop notes, section 3; llama.cpp, llama-vocab.cpp.
#include "core/base/text.h"
#include "core/file_formats/gguf_header.h"
#include "core/tokenizers/byte_alphabet.h"
#include "core/tokenizers/tokenizer_parts.h"

#include <cmath>

namespace quantloupe {
namespace {

constexpr std::string_view kLowerBlock = "\u2581";

class GgufVocabularyReader
{
public:
    GgufVocabularyReader(const GgufHeader& header, const std::string& where)
        : m_header(header)
        , m_where(where)
    {
    }

    Result<TokenizerParts> read()
    {
        const auto* model = m_header.find("tokenizer.ggml.model");
        const auto name = model ? textOf(*model) : std::nullopt;
        if (!name)
            return failure(ErrorCode::NotThisFormat, m_where, "the file holds no vocabulary (tokenizer.ggml.model)");
        m_byteLevel = *name == "gpt2";
        if (!m_byteLevel && *name != "llama")
            return unsupported(*model, "a vocabulary of the kind " + inQuotes(*name) + " is not supported");
        return placePieces()
            .and_then([this] { return indexVocabulary(); })
            .and_then([this] { return m_byteLevel ? buildByteLevel() : buildByScores(); })
            .and_then([this] { return readSpecialTokens(); })
            .map([this] { return std::move(m_parts); });
    }

private:
    tl::unexpected<Error> malformed(const GgufValue& value, std::string reason) const
    {
        return failure(ErrorCode::Malformed, m_where, std::move(reason), value.offset);
    }
    tl::unexpected<Error> unsupported(const GgufValue& value, std::string reason) const
    {
        return failure(ErrorCode::Unsupported, m_where, std::move(reason), value.offset);
    }

    /// An array of this key, `types` being what its elements may be. nullptr when absent.
    Result<const GgufValue*> array(
        std::string_view key, std::initializer_list<GgufType> types, std::optional<std::uint64_t> count) const
    {
        const auto* value = m_header.find(key);
        if (!value)
            return nullptr;
        if (value->type != GgufType::Array || std::find(types.begin(), types.end(), value->elementType) == types.end())
            return malformed(*value, std::string(key) + " is " + displayed(*value) + ", not an array of its type");
        if (count && value->count != *count) {
            return malformed(*value,
                std::string(key) + " has " + std::to_string(value->count) + " elements for " + std::to_string(*count)
                    + " tokens");
        }
        return value;
    }

    /// Calls `take(text, index)` for every element; stops where it gives a complaint.
    template<class Take>
    Result<void> forEachText(const GgufValue& texts, Take take) const
    {
        ByteCursor cursor(texts.bytes);
        for (std::uint64_t i = 0; i < texts.count; ++i) {
            const auto offset = texts.offset + cursor.offset();
            const auto text = cursor.readText();
            if (!text)
                return malformed(texts, "an array of texts that ends early");
            if (auto wrong = take(*text, static_cast<TokenId>(i)); !wrong.empty())
                return failure(ErrorCode::Malformed, m_where, std::move(wrong), offset);
        }
        return {};
    }

    Result<PieceKind> kindAt(const GgufValue* types, std::uint64_t index) const
    {
        if (!types)
            return PieceKind::Normal;
        ByteCursor cursor(types->bytes.subspan(index * 4));
        // Kinds have the numbers of SentencePiece; 0 stands for none given.
        constexpr std::array kinds {PieceKind::Normal, PieceKind::Normal, PieceKind::Unknown, PieceKind::Control,
            PieceKind::UserDefined, PieceKind::Unused, PieceKind::Byte};
        const auto number = cursor.read<std::uint32_t>().value_or(0);
        if (number >= kinds.size())
            return malformed(
                *types, "token " + std::to_string(index) + " is of the unknown type " + std::to_string(number));
        return kinds[number];
    }

    Result<void> placePieces()
    {
        const auto tokens = array("tokenizer.ggml.tokens", {GgufType::Text}, std::nullopt);
        if (!tokens)
            return tl::unexpected(tokens.error());
        if (!*tokens || (*tokens)->count == 0)
            return failure(ErrorCode::Malformed, m_where, "a vocabulary without tokens (tokenizer.ggml.tokens)");
        m_tokens = *tokens;
        const auto types = array("tokenizer.ggml.token_type", {GgufType::I32, GgufType::U32}, m_tokens->count);
        if (!types)
            return tl::unexpected(types.error());
        return forEachText(*m_tokens, [&](std::string_view text, TokenId id) -> std::string {
            const auto kind = kindAt(*types, id);
            if (!kind)
                return kind.error().reason;
            if (text.empty() || !isValidUtf8(text))
                return "token " + std::to_string(id) + " is empty or not UTF-8";
            if (*kind == PieceKind::Byte && !byteOfPiece(text))
                return "token " + std::to_string(id) + " is of type byte, but " + inQuotes(text);
            return place(id, text, *kind);
        });
    }

    std::string place(TokenId id, std::string_view text, PieceKind kind)
    {
        const bool whole = kind == PieceKind::Control || kind == PieceKind::Unknown || kind == PieceKind::UserDefined;
        if (whole)
            m_parts.added.add({.content = std::string(text), .id = id, .special = kind != PieceKind::UserDefined});
        if (!m_byteLevel)
            return m_parts.vocabulary.place(id, text, kind);
        const auto decoded = whole ? std::nullopt : bytesOfAlphabet(text);
        m_spelled.push_back(decoded.has_value());
        return m_parts.vocabulary.place(id, decoded ? std::string_view(*decoded) : text, kind);
    }

    Result<void> indexVocabulary()
    {
        m_parts.added.finish();
        if (const auto twins = m_parts.vocabulary.index(m_spelled)) {
            return malformed(*m_tokens,
                "tokens " + std::to_string(twins->first) + " and " + std::to_string(twins->second) + " are both "
                    + inQuotes(m_parts.vocabulary.text(twins->first)));
        }
        return {};
    }

    Result<void> buildByScores()
    {
        const auto values = array("tokenizer.ggml.scores", {GgufType::F32}, m_tokens->count);
        if (!values)
            return tl::unexpected(values.error());
        if (!*values)
            return malformed(*m_tokens, "a vocabulary of the kind 'llama' without tokenizer.ggml.scores");
        std::vector<float> scores;
        scores.reserve(m_tokens->count);
        ByteCursor cursor((*values)->bytes);
        while (const auto score = cursor.read<float>()) {
            if (std::isnan(*score))
                return malformed(**values, "the score of token " + std::to_string(scores.size()) + " is not a number");
            scores.push_back(*score);
        }
        auto& vocabulary = m_parts.vocabulary;
        UnspelledRule unspelled {.bytes = vocabulary.byteTokens(), .toBytes = true};
        // Where the vocabulary has no "<0x0A>" and the like, a byte may stand for itself.
        for (unsigned byte = 0; byte < 256; ++byte)
            if (unspelled.bytes[byte] == kNoToken) {
                const auto text = static_cast<char>(byte);
                unspelled.bytes[byte] = vocabulary.find({&text, 1});
            }
        m_parts.spellsEverything =
            std::none_of(unspelled.bytes.begin(), unspelled.bytes.end(), [](TokenId id) { return id == kNoToken; });
        if (const auto unknown = tokenOf("tokenizer.ggml.unknown_token_id"); unknown && *unknown)
            unspelled.unknown = **unknown;
        m_parts.model = ScoreBpe(vocabulary, scores, std::vector<bool>(vocabulary.size(), true), {}, unspelled);

        if (flag("tokenizer.ggml.add_space_prefix", true)) {
            m_parts.normalizer.push_back({.kind = RewriteStep::Kind::Prepend, .to = " "});
            m_parts.stripsLeadingSpace = true;
        }
        m_parts.spaceSymbol = kLowerBlock;
        m_parts.normalizer.push_back({.kind = RewriteStep::Kind::Replace, .from = " ", .to = std::string(kLowerBlock)});
        if (vocabulary.find(kLowerBlock) != kNoToken)
            m_parts.splitter.push_back(safeBoundaryBefore(std::string(kLowerBlock), vocabulary));
        m_parts.wordsRepeat = !m_parts.splitter.empty();
        m_parts.malformedBytesAsIs = true;
        m_parts.description = "SentencePiece BPE";
        return {};
    }

    Result<void> buildByteLevel()
    {
        const auto* pre = m_header.find("tokenizer.ggml.pre");
        m_pre = pre ? textOf(*pre).value_or("") : "default";
        const auto patterns = wordPatternsOfGgufName(m_pre);
        if (patterns.empty())
            return unsupported(*pre, "the pre-tokenizer " + inQuotes(m_pre) + " is not supported");
        for (const auto* pattern : patterns)
            m_parts.splitter.push_back({.kind = SplitStep::Kind::Pattern, .pattern = pattern});
        if (flag("tokenizer.ggml.add_space_prefix", false))
            m_parts.normalizer.push_back({.kind = RewriteStep::Kind::Prepend, .to = " "});

        MergeBpe model({.bytes = true, .wholeWords = ggufNameIgnoresMerges(m_pre)});
        const auto merges = array("tokenizer.ggml.merges", {GgufType::Text}, std::nullopt);
        if (!merges)
            return tl::unexpected(merges.error());
        if (!*merges)
            return malformed(*m_tokens, "a vocabulary of the kind 'gpt2' without tokenizer.ggml.merges");
        auto added = forEachText(**merges, [&](std::string_view merge, TokenId) { return addMerge(model, merge); });
        if (!added)
            return added;
        model.finish(m_parts.vocabulary);
        m_parts.spellsEverything = true;
        for (int byte = 0; byte < 256; ++byte) {
            const auto text = static_cast<char>(byte);
            m_parts.spellsEverything = m_parts.spellsEverything && m_parts.vocabulary.find({&text, 1}) != kNoToken;
        }
        m_parts.model = std::move(model);
        m_parts.wordsRepeat = true;
        m_parts.description = "byte-level BPE, " + m_pre;
        return {};
    }

    std::string addMerge(MergeBpe& model, std::string_view merge) const
    {
        const auto space = merge.find(' ', 1);
        if (space == std::string_view::npos)
            return "the merge " + inQuotes(merge) + " is not two pieces with a space between";
        const auto left = bytesOfAlphabet(merge.substr(0, space));
        const auto right = bytesOfAlphabet(merge.substr(space + 1));
        if (!left || !right)
            return "the merge " + inQuotes(merge) + " is not written in the byte alphabet";
        const auto& vocabulary = m_parts.vocabulary;
        const auto first = vocabulary.find(*left), second = vocabulary.find(*right);
        const auto merged = vocabulary.find(*left + *right);
        if (first == kNoToken || second == kNoToken || merged == kNoToken)
            return "the merge " + inQuotes(merge) + " has a piece that is not in the vocabulary";
        model.addMerge(first, second, merged);
        return {};
    }

    bool flag(std::string_view key, bool fallback) const
    {
        const auto* value = m_header.find(key);
        if (!value || value->type != GgufType::Bool)
            return fallback;
        return value->bytes[0] != std::byte {0};
    }

    /// The token that a key names; nullopt inside when the key is absent.
    Result<std::optional<TokenId>> tokenOf(std::string_view key) const
    {
        const auto* value = m_header.find(key);
        if (!value)
            return std::nullopt;
        const auto number = wholeNumber(*value);
        if (!number || *number >= m_parts.vocabulary.size()) {
            return malformed(*value,
                std::string(key) + " is " + displayed(*value) + " in a vocabulary of "
                    + std::to_string(m_parts.vocabulary.size()));
        }
        return static_cast<TokenId>(*number);
    }

    Result<void> readSpecialTokens()
    {
        const auto bos = tokenOf("tokenizer.ggml.bos_token_id");
        const auto eos = tokenOf("tokenizer.ggml.eos_token_id");
        for (const auto* token : {&bos, &eos})
            if (!*token)
                return tl::unexpected(token->error());
        m_parts.bos = *bos;
        m_parts.eos = *eos;
        const auto known = [&](TokenId id) {
            return id < m_parts.vocabulary.size() ? std::optional(id) : std::nullopt;
        };
        if (!m_byteLevel) {
            m_parts.bos = m_parts.bos ? m_parts.bos : known(1);
            m_parts.eos = m_parts.eos ? m_parts.eos : known(2);
        }
        if (flag("tokenizer.ggml.add_bos_token", !m_byteLevel || ggufNameAddsBos(m_pre)) && m_parts.bos)
            m_parts.prefix = {*m_parts.bos};
        if (flag("tokenizer.ggml.add_eos_token", false) && m_parts.eos)
            m_parts.suffix = {*m_parts.eos};
        return {};
    }

    const GgufHeader& m_header;
    const std::string& m_where;
    TokenizerParts m_parts;
    const GgufValue* m_tokens = nullptr;
    std::string m_pre;
    std::vector<bool> m_spelled;  ///< byte-level: the token is written in the byte alphabet
    bool m_byteLevel = false;
};

}  // namespace

Result<TokenizerParts> readGgufVocabulary(Bytes file, const std::string& where)
{
    return readGgufHeader(file, where).and_then([&](const GgufHeader& header) {
        return GgufVocabularyReader(header, where).read();
    });
}

}  // namespace quantloupe
