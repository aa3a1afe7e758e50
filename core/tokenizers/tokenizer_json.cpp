// SPDX-License-Identifier: GPL-3.0-or-later
// Hugging Face's tokenizer.json: models "BPE" (byte-level or with "▁") and "Unigram".
#include "core/base/text.h"
#include "core/tokenizers/byte_alphabet.h"
#include "core/tokenizers/tokenizer_json_steps.h"

#include <charconv>
#include <cmath>

namespace quantloupe {
namespace {

using JsonKind = JsonEvent::Kind;

/// Ids may leave gaps, but not so that a small file asks for much memory.
constexpr std::uint64_t kMaxGap = 100'000;

class TokenizerJsonReader
{
public:
    TokenizerJsonReader(std::string_view document, const std::string& where)
        : m_document(document)
        , m_where(where)
        , m_steps(m_parts, where)
    {
    }

    Result<TokenizerParts> read()
    {
        return readJson(m_document, m_where, 0, [this](const JsonEvent& event) { return take(event); })
            .and_then([this] { return readSteps(); })
            .and_then([this] { return placePieces(); })
            .and_then([this] { return placeAddedTokens(); })
            .and_then([this] { return indexVocabulary(); })
            .and_then([this] { return m_unigram ? buildUnigram() : buildBpe(); })
            .and_then([this] { return checkTemplate(); })
            .map([this] { return std::move(m_parts); });
    }

private:
    /// A stretch of m_texts; kept apart from the vocabulary until the ids and the alphabet are known.
    struct Text {
        std::uint64_t begin = 0, length = 0;
    };
    struct Piece {
        Text text {};
        std::uint64_t id = 0;
        double score = 0.0;
        std::uint64_t offset = 0;
    };
    struct Merge {
        Text left {}, right {};
        std::uint64_t offset = 0;
    };

    tl::unexpected<Error> malformed(std::uint64_t offset, std::string reason) const
    {
        return failure(ErrorCode::Malformed, m_where, std::move(reason), offset);
    }
    tl::unexpected<Error> unsupported(std::uint64_t offset, std::string reason) const
    {
        return failure(ErrorCode::Unsupported, m_where, std::move(reason), offset);
    }

    Text keep(std::string_view text)
    {
        m_texts += text;
        return {m_texts.size() - text.size(), text.size()};
    }
    std::string_view textOf(const Text& text) const
    {
        return std::string_view(m_texts).substr(text.begin, text.length);
    }

    Result<void> take(const JsonEvent& event)
    {
        const auto& path = event.path;
        if (path.size() >= 2 && path[0] == "model" && path[1] == "vocab")
            return takeVocabulary(event);
        if (path.size() >= 2 && path[0] == "model" && path[1] == "merges")
            return takeMerge(event);
        if (path.empty() && event.kind != JsonKind::BeginObject && event.kind != JsonKind::EndObject)
            return malformed(event.offset, "the document is not an object");
        return m_tree.add(event, m_where);
    }

    Result<void> takeVocabulary(const JsonEvent& event)
    {
        const auto depth = event.path.size();
        if (depth == 2) {
            if (event.kind != JsonKind::BeginObject && event.kind != JsonKind::BeginArray && event.kind != JsonKind::EndObject
                && event.kind != JsonKind::EndArray)
                return malformed(event.offset, "model.vocab is neither an object nor an array");
            m_listed = event.kind == JsonKind::BeginArray || event.kind == JsonKind::EndArray;
            return {};
        }
        if (!m_listed) {
            if (depth != 3 || event.kind != JsonKind::Unsigned)
                return malformed(event.offset, "the id of a piece is not a whole number");
            m_pieces.push_back({keep(event.path[2]), event.number, 0.0, event.keyOffset});
            return {};
        }
        if (depth == 3 && event.kind == JsonKind::BeginArray) {
            m_pieces.push_back({{}, m_pieces.size(), 0.0, event.offset});
            m_taken = 0;
            return {};
        }
        if (depth == 3 && event.kind == JsonKind::EndArray && m_taken == 2)
            return {};
        const bool number = event.kind == JsonKind::Unsigned || event.kind == JsonKind::Negative || event.kind == JsonKind::Real;
        if (depth == 4 && m_taken == 0 && event.kind == JsonKind::Text)
            m_pieces.back().text = keep(event.text);
        else if (depth == 4 && m_taken == 1 && number)
            m_pieces.back().score = numberAt(event);
        else
            return malformed(event.offset, "an entry of model.vocab is not a pair of text and score");
        ++m_taken;
        return {};
    }

    /// JsonEvent does not hold negative whole numbers.
    double numberAt(const JsonEvent& event) const
    {
        if (event.kind == JsonKind::Real)
            return event.real;
        if (event.kind == JsonKind::Unsigned)
            return static_cast<double>(event.number);
        double value = 0.0;
        const auto begin = std::min<std::uint64_t>(event.offset, m_document.size());
        std::from_chars(m_document.data() + begin, m_document.data() + m_document.size(), value);
        return value;
    }

    Result<void> takeMerge(const JsonEvent& event)
    {
        const auto depth = event.path.size();
        if (depth == 2 && (event.kind == JsonKind::BeginArray || event.kind == JsonKind::EndArray)) {
            m_mergesSeen = true;
            return {};
        }
        if (depth == 3 && event.kind == JsonKind::Text) {
            const auto space = event.text.find(' ');
            if (space == std::string_view::npos || event.text.find(' ', space + 1) != std::string_view::npos)
                return malformed(event.offset, "the merge " + inQuotes(event.text) + " is not two pieces with a space");
            m_merges.push_back({keep(event.text.substr(0, space)), keep(event.text.substr(space + 1)), event.offset});
            return {};
        }
        if (depth == 3 && event.kind == JsonKind::BeginArray) {
            m_merges.push_back({{}, {}, event.offset});
            m_taken = 0;
            return {};
        }
        if (depth == 3 && event.kind == JsonKind::EndArray && m_taken == 2)
            return {};
        if (depth != 4 || event.kind != JsonKind::Text || m_taken == 2)
            return malformed(event.offset, "an entry of model.merges is not two pieces");
        (m_taken == 0 ? m_merges.back().left : m_merges.back().right) = keep(event.text);
        ++m_taken;
        return {};
    }

    Result<void> readSteps()
    {
        const auto& root = m_tree.root();
        m_model = root.find("model");
        if (!m_model || m_model->kind != JsonKind::BeginObject)
            return malformed(root.offset, "no 'model': this is no tokenizer.json");
        const auto type = m_model->textOf("type");
        m_unigram = type == "Unigram" || (type.empty() && m_listed);
        if (!m_unigram && type != "BPE" && !(type.empty() && m_mergesSeen))
            return unsupported(m_model->offset, "the model " + inQuotes(type) + " is not supported");
        if (m_unigram != m_listed)
            return malformed(m_model->offset, "model.vocab is not of the form that the model has");
        using Reader = Result<void> (TokenizerJsonSteps::*)(const JsonNode&);
        const std::pair<std::string_view, Reader> sections[] {
            {"normalizer", &TokenizerJsonSteps::readNormalizer},
            {"pre_tokenizer", &TokenizerJsonSteps::readPreTokenizer},
            {"decoder", &TokenizerJsonSteps::readDecoder},
            {"post_processor", &TokenizerJsonSteps::readPostProcessor},
        };
        for (const auto& [key, reader] : sections)
            if (const auto* node = root.find(key))
                if (auto done = (m_steps.*reader)(*node); !done)
                    return done;
        return {};
    }

    Result<void> placePieces()
    {
        const bool bytesFallBack = m_model->flagOf("byte_fallback", false);
        for (const auto& piece : m_pieces) {
            if (piece.id > m_pieces.size() + kMaxGap)
                return malformed(piece.offset,
                    "the id " + std::to_string(piece.id) + " in a vocabulary of " + std::to_string(m_pieces.size()));
            const auto text = textOf(piece.text);
            auto decoded = m_steps.byteLevel() ? bytesOfAlphabet(text) : std::nullopt;
            const auto id = static_cast<TokenId>(piece.id);
            if (m_steps.byteLevel()) {
                m_spelled.resize(std::max<std::size_t>(m_spelled.size(), id + 1));
                m_spelled[id] = decoded.has_value();
            }
            const auto kind = bytesFallBack && byteOfPiece(text) ? PieceKind::Byte : PieceKind::Normal;
            if (auto wrong = m_parts.vocabulary.place(id, decoded ? *decoded : text, kind); !wrong.empty())
                return malformed(piece.offset, std::move(wrong));
        }
        if (m_parts.vocabulary.size() == 0)
            return malformed(m_model->offset, "the vocabulary is empty");
        return {};
    }

    Result<void> placeAddedTokens()
    {
        const auto* list = m_tree.root().find("added_tokens");
        if (!list)
            return {};
        for (const auto& node : list->items) {
            const auto* id = node.find("id");
            const auto content = node.textOf("content");
            if (!id || id->kind != JsonKind::Unsigned || content.empty())
                return malformed(node.offset, "an added token without id or content");
            if (id->number > m_parts.vocabulary.size() + kMaxGap)
                return malformed(id->offset,
                    "the added token " + inQuotes(content) + " has the id " + std::to_string(id->number)
                        + ", far beyond the vocabulary");
            AddedToken token {.content = std::string(content),
                .id = static_cast<TokenId>(id->number),
                .special = node.flagOf("special", false),
                .singleWord = node.flagOf("single_word", false),
                .takesLeftSpace = node.flagOf("lstrip", false),
                .takesRightSpace = node.flagOf("rstrip", false),
                .normalized = node.flagOf("normalized", !node.flagOf("special", false))};
            if (auto placed = placeAdded(token, node.offset); !placed)
                return placed;
            if (token.normalized)
                token.content = rewritten(token.content, m_parts.normalizer, true);
            m_parts.added.add(std::move(token));
        }
        m_parts.added.finish();
        return {};
    }

    Result<void> placeAdded(const AddedToken& token, std::uint64_t offset)
    {
        auto& vocabulary = m_parts.vocabulary;
        const auto kind = token.special ? PieceKind::Control : PieceKind::UserDefined;
        if (token.id >= vocabulary.size() || vocabulary.kind(token.id) == PieceKind::Absent) {
            if (auto wrong = vocabulary.place(token.id, token.content, kind); !wrong.empty())
                return malformed(offset, std::move(wrong));
            if (m_steps.byteLevel())
                m_spelled.resize(vocabulary.size());  // no merge makes it
            return {};
        }
        const auto text = vocabulary.text(token.id);
        if (text != token.content && text != bytesOfAlphabet(token.content)) {
            return malformed(offset,
                "token " + std::to_string(token.id) + " is " + inQuotes(text)
                    + " in the vocabulary, but the added token " + inQuotes(token.content));
        }
        if (vocabulary.kind(token.id) != PieceKind::Byte)
            vocabulary.setKind(token.id, kind);
        return {};
    }

    Result<void> indexVocabulary()
    {
        if (const auto twins = m_parts.vocabulary.index(m_spelled)) {
            return malformed(m_model->offset,
                "tokens " + std::to_string(twins->first) + " and " + std::to_string(twins->second) + " are both "
                    + inQuotes(m_parts.vocabulary.text(twins->first)));
        }
        return {};
    }

    /// What this model makes of characters that it has no piece for.
    UnspelledRule unspelledRule() const
    {
        UnspelledRule rule {
            .bytes = m_parts.vocabulary.byteTokens(), .toBytes = m_model->flagOf("byte_fallback", false)};
        return rule;
    }
    static bool allBytes(const UnspelledRule& rule)
    {
        return rule.toBytes
            && std::none_of(rule.bytes.begin(), rule.bytes.end(), [](TokenId id) { return id == kNoToken; });
    }

    Result<void> buildBpe()
    {
        for (const auto key : {"continuing_subword_prefix", "end_of_word_suffix"})
            if (!m_model->textOf(key).empty())
                return unsupported(
                    m_model->find(key)->offset, std::string("a BPE model with ") + key + " is not supported");
        if (const auto* dropout = m_model->find("dropout"); dropout && dropout->kind != JsonKind::Null)
            return unsupported(dropout->offset, "a BPE model with dropout gives other ids every time");
        auto& vocabulary = m_parts.vocabulary;
        MergeBpe::Options options {.bytes = m_steps.byteLevel(), .wholeWords = m_model->flagOf("ignore_merges", false)};
        options.unspelled = unspelledRule();
        options.unspelled.oneForRun = m_model->flagOf("fuse_unk", false);
        if (const auto name = m_model->textOf("unk_token"); !name.empty()) {
            options.unspelled.unknown = vocabulary.find(name);
            if (options.unspelled.unknown == kNoToken)
                return malformed(m_model->offset, "the unknown token " + inQuotes(name) + " is not in the vocabulary");
        }
        MergeBpe model(options);
        if (auto resolved = resolveMerges(model); !resolved)
            return resolved;
        model.finish(vocabulary);
        m_parts.spellsEverything = m_steps.byteLevel() ? everyByteSpelled() : allBytes(options.unspelled);
        m_parts.model = std::move(model);
        if (m_parts.splitter.empty() && !options.wholeWords && !m_parts.spaceSymbol.empty()
            && vocabulary.find(m_parts.spaceSymbol) != kNoToken)
            m_parts.splitter.push_back(safeBoundaryBefore(m_parts.spaceSymbol, vocabulary));
        m_parts.wordsRepeat = !m_parts.splitter.empty();
        m_parts.description = m_steps.byteLevel() ? "byte-level BPE" : "BPE";
        if (!m_steps.patternName().empty())
            m_parts.description += ", " + m_steps.patternName();
        return {};
    }

    bool everyByteSpelled() const
    {
        for (int byte = 0; byte < 256; ++byte) {
            const auto text = static_cast<char>(byte);
            if (m_parts.vocabulary.find({&text, 1}) == kNoToken)
                return false;
        }
        return true;
    }

    Result<void> resolveMerges(MergeBpe& model) const
    {
        for (const auto& merge : m_merges) {
            std::string both;
            TokenId ids[2] {};
            for (int i = 0; i < 2; ++i) {
                const auto text = textOf(i == 0 ? merge.left : merge.right);
                const auto decoded = m_steps.byteLevel() ? bytesOfAlphabet(text) : std::nullopt;
                const auto spelled = decoded ? std::string_view(*decoded) : text;
                ids[i] = m_parts.vocabulary.find(spelled);
                if (ids[i] == kNoToken)
                    return malformed(merge.offset, "the merged piece " + inQuotes(text) + " is not in the vocabulary");
                both += spelled;
            }
            const auto merged = m_parts.vocabulary.find(both);
            if (merged == kNoToken)
                return malformed(merge.offset, "a merge makes " + inQuotes(both) + ", which is not in the vocabulary");
            model.addMerge(ids[0], ids[1], merged);
        }
        return {};
    }

    Result<void> buildUnigram()
    {
        auto& vocabulary = m_parts.vocabulary;
        const auto* unknown = m_model->find("unk_id");
        if (!unknown || unknown->kind != JsonKind::Unsigned || unknown->number >= m_pieces.size())
            return malformed(m_model->offset, "a Unigram model without the id of an unknown token");
        if (m_steps.byteLevel())
            return unsupported(m_model->offset, "a byte-level Unigram model is not supported");
        std::vector<double> scores(vocabulary.size(), 0.0);
        std::vector<bool> usable(vocabulary.size(), false);
        for (const auto& piece : m_pieces) {
            if (!std::isfinite(piece.score))
                return malformed(piece.offset, "a score that is not a finite number");
            scores[piece.id] = piece.score;
            usable[piece.id] = true;
        }
        Unigram::Options options {.singlePrecision = false, .unspelled = unspelledRule()};
        options.unspelled.unknown = static_cast<TokenId>(unknown->number);
        options.unspelled.oneForRun = true;
        m_parts.spellsEverything = allBytes(options.unspelled);
        m_parts.model = Unigram(vocabulary, scores, usable, options);
        m_parts.wordsRepeat = !m_parts.splitter.empty();
        m_parts.description = "Unigram";
        return {};
    }

    Result<void> checkTemplate()
    {
        for (const auto* ids : {&m_parts.prefix, &m_parts.suffix})
            for (const auto id : *ids)
                if (id >= m_parts.vocabulary.size())
                    return malformed(m_tree.root().find("post_processor")->offset,
                        "the template adds token " + std::to_string(id) + ", which the vocabulary lacks");
        if (!m_parts.prefix.empty())
            m_parts.bos = m_parts.prefix.front();
        if (!m_parts.suffix.empty())
            m_parts.eos = m_parts.suffix.back();
        return {};
    }

    std::string_view m_document;
    const std::string& m_where;
    TokenizerParts m_parts;
    TokenizerJsonSteps m_steps;
    JsonTreeBuilder m_tree;
    const JsonNode* m_model = nullptr;
    std::string m_texts;
    std::vector<Piece> m_pieces;
    std::vector<Merge> m_merges;
    std::vector<bool> m_spelled;  ///< byte-level: the piece is written in the byte alphabet
    bool m_listed = false;        ///< model.vocab is an array
    bool m_mergesSeen = false;
    bool m_unigram = false;
    unsigned m_taken = 0;  ///< values of the pair being read
};

}  // namespace

Result<TokenizerParts> readTokenizerJson(Bytes file, const std::string& where)
{
    return TokenizerJsonReader({reinterpret_cast<const char*>(file.data()), file.size()}, where).read();
}

}  // namespace quantloupe
