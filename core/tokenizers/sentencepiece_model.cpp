// SPDX-License-Identifier: GPL-3.0-or-later
// SentencePiece's tokenizer.model, a protobuf message. Read by hand: half a dozen fields of two wire types, from files
// of unknown origin, for models that other files hold, too. Source: sentencepiece_model.proto; protobuf's encoding.
#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/tokenizers/tokenizer_parts.h"

#include <cmath>

namespace quantloupe {
namespace {

/// One field of a message: a number of wire type 0, 1 or 5, or the bytes of type 2.
struct ProtoField {
    std::uint64_t number = 0;  ///< of the field
    std::uint64_t value = 0;
    Bytes bytes {};
    std::uint64_t offset = 0;  ///< of `bytes`, or of the field, in the file
};

/// Walks through the fields of one message.
class ProtoReader
{
public:
    ProtoReader(Bytes message, std::uint64_t base, const std::string& where)
        : m_cursor(message)
        , m_base(base)
        , m_where(where)
    {
    }

    bool atEnd() const { return m_cursor.remaining() == 0; }

    Result<ProtoField> next()
    {
        ProtoField field {.offset = m_base + m_cursor.offset()};
        const auto tag = varint();
        if (!tag)
            return refuse(field.offset, "a field without its number");
        field.number = *tag >> 3U;
        if (field.number == 0)
            return refuse(field.offset, "a field with the number 0");
        std::optional<std::uint64_t> value;
        switch (*tag & 7U) {
        case 0: value = varint(); break;
        case 1: value = m_cursor.read<std::uint64_t>(); break;
        case 5:
            if (const auto word = m_cursor.read<std::uint32_t>())
                value = *word;
            break;
        case 2:
            if (const auto length = varint()) {
                field.offset = m_base + m_cursor.offset();
                if (const auto bytes = m_cursor.take(*length)) {
                    field.bytes = *bytes;
                    value = *length;
                }
            }
            break;
        default: return refuse(field.offset, "a field of a wire type that is not in use");
        }
        if (!value)
            return failure(ErrorCode::Truncated, m_where, "the message ends inside a field", field.offset);
        field.value = *value;
        return field;
    }

private:
    tl::unexpected<Error> refuse(std::uint64_t offset, const std::string& what) const
    {
        return failure(ErrorCode::Malformed, m_where, "not a SentencePiece model: " + what, offset);
    }

    std::optional<std::uint64_t> varint()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = m_cursor.read<std::uint8_t>();
            if (!byte)
                return std::nullopt;
            value |= std::uint64_t {*byte & 0x7FU} << shift;
            if (*byte < 0x80)
                return value;
        }
        return std::nullopt;
    }

    ByteCursor m_cursor;
    std::uint64_t m_base;
    const std::string& m_where;
};

std::string_view textOfField(const ProtoField& field)
{
    return {reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size()};
}

class SentencePieceReader
{
public:
    SentencePieceReader(Bytes file, const std::string& where)
        : m_file(file)
        , m_where(where)
    {
    }

    Result<TokenizerParts> read()
    {
        auto done = forEach(m_file, 0, [this](const ProtoField& field) -> Result<void> {
            switch (field.number) {
            case 1: return readPiece(field);
            case 2: return forEach(field.bytes, field.offset, [this](const ProtoField& f) { return readTrainer(f); });
            case 3:
                return forEach(field.bytes, field.offset, [this](const ProtoField& f) { return readNormalizer(f); });
            default: return {};
            }
        });
        return done.and_then([this] { return checkWhole(); }).and_then([this] { return build(); }).map([this] {
            return std::move(m_parts);
        });
    }

private:
    tl::unexpected<Error> malformed(std::uint64_t offset, std::string reason) const
    {
        return failure(ErrorCode::Malformed, m_where, std::move(reason), offset);
    }
    tl::unexpected<Error> unsupported(const std::string& what) const
    {
        return failure(ErrorCode::Unsupported, m_where, "a SentencePiece model with " + what + " is not supported");
    }

    template<class Take>
    Result<void> forEach(Bytes message, std::uint64_t base, Take take)
    {
        ProtoReader reader(message, base, m_where);
        while (!reader.atEnd()) {
            const auto field = reader.next();
            if (!field)
                return tl::unexpected(field.error());
            if (auto taken = take(*field); !taken)
                return taken;
        }
        return {};
    }

    Result<void> readPiece(const ProtoField& message)
    {
        std::string_view text;
        float score = 0.0F;
        std::uint64_t type = 1;
        auto read = forEach(message.bytes, message.offset, [&](const ProtoField& field) -> Result<void> {
            if (field.number == 1)
                text = textOfField(field);
            else if (field.number == 2)
                score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
            else if (field.number == 3)
                type = field.value;
            return {};
        });
        if (!read)
            return read;
        const auto id = static_cast<TokenId>(m_scores.size());
        const auto named = "piece " + std::to_string(id);
        if (text.empty() || !isValidUtf8(text))
            return malformed(message.offset, named + " is empty or not UTF-8");
        if (!std::isfinite(score))
            return malformed(message.offset, named + " has a score that is not a finite number");
        // The numbers of the message's enumeration.
        constexpr std::array kinds {PieceKind::Normal, PieceKind::Unknown, PieceKind::Control, PieceKind::UserDefined,
            PieceKind::Unused, PieceKind::Byte};
        if (type == 0 || type > kinds.size())
            return malformed(message.offset, named + " is of the unknown type " + std::to_string(type));
        const auto kind = kinds[type - 1];
        if (kind == PieceKind::Byte && !byteOfPiece(text))
            return malformed(message.offset, named + " is of type byte, but " + inQuotes(text));
        if (auto wrong = m_parts.vocabulary.place(id, text, kind); !wrong.empty())
            return malformed(message.offset, std::move(wrong));
        m_scores.push_back(score);
        return {};
    }

    Result<void> readTrainer(const ProtoField& field)
    {
        switch (field.number) {
        case 3: m_modelType = field.value; break;
        case 24: m_spaceBehind = field.value != 0; break;
        case 35: m_toBytes = field.value != 0; break;
        case 40: m_unknown = field.value; break;
        case 41: m_bos = field.value; break;
        case 42: m_eos = field.value; break;
        default: break;
        }
        return {};
    }

    Result<void> readNormalizer(const ProtoField& field)
    {
        switch (field.number) {
        case 1: m_normalization = textOfField(field); break;
        case 2: m_hasCharacterMap = !field.bytes.empty(); break;
        case 3: m_dummyPrefix = field.value != 0; break;
        case 4: m_collapseSpaces = field.value != 0; break;
        case 5: m_escapeSpaces = field.value != 0; break;
        default: break;
        }
        return {};
    }

    Result<void> checkWhole()
    {
        auto& vocabulary = m_parts.vocabulary;
        if (vocabulary.size() == 0)
            return failure(ErrorCode::NotThisFormat, m_where, "no pieces: not a SentencePiece model", 0);
        if (m_modelType != 1 && m_modelType != 2)
            return unsupported("the model type " + std::to_string(m_modelType) + ", neither Unigram nor BPE,");
        if (m_hasCharacterMap)
            return unsupported("the normalization " + inQuotes(m_normalization));
        if (m_spaceBehind)
            return unsupported("spaces at the end of words");
        if (m_unknown >= vocabulary.size())
            return malformed(0, "the unknown piece " + std::to_string(m_unknown) + " does not exist");
        if (const auto twins = vocabulary.index()) {
            return malformed(0,
                "pieces " + std::to_string(twins->first) + " and " + std::to_string(twins->second) + " are both "
                    + inQuotes(vocabulary.text(twins->first)));
        }
        return {};
    }

    Result<void> build()
    {
        auto& vocabulary = m_parts.vocabulary;
        UnspelledRule unspelled {.bytes = vocabulary.byteTokens(), .toBytes = m_toBytes};
        unspelled.unknown = static_cast<TokenId>(m_unknown);
        unspelled.oneForRun = true;
        m_parts.spellsEverything = m_toBytes
            && std::none_of(unspelled.bytes.begin(), unspelled.bytes.end(), [](TokenId id) { return id == kNoToken; });
        readSpaces();

        const bool bpe = m_modelType == 2;
        std::vector<bool> usable(vocabulary.size());
        std::vector<TokenId> userDefined;
        for (TokenId id = 0; id < vocabulary.size(); ++id) {
            const auto kind = vocabulary.kind(id);
            usable[id] = kind == PieceKind::Normal || kind == PieceKind::UserDefined;
            if (kind == PieceKind::UserDefined)
                userDefined.push_back(id);
            if (kind == PieceKind::Unused && bpe)
                return unsupported("unused pieces in BPE");
            if (kind == PieceKind::Control)
                m_parts.added.add({.content = std::string(vocabulary.text(id)), .id = id, .special = true});
        }
        m_parts.added.finish();
        if (bpe) {
            m_parts.model = ScoreBpe(vocabulary, m_scores, usable, userDefined, unspelled);
            // Pieces of several words that the user put in are found across boundaries.
            if (userDefined.empty() && m_escapeSpaces && vocabulary.find(m_parts.spaceSymbol) != kNoToken)
                m_parts.splitter.push_back(safeBoundaryBefore(m_parts.spaceSymbol, vocabulary));
            m_parts.wordsRepeat = !m_parts.splitter.empty();
        } else {
            const std::vector<double> scores(m_scores.begin(), m_scores.end());
            m_parts.model = Unigram(vocabulary, scores, usable, {.singlePrecision = true, .unspelled = unspelled});
        }
        m_parts.description = bpe ? "SentencePiece BPE" : "SentencePiece Unigram";
        const auto special = [&](std::uint64_t id) -> std::optional<TokenId> {
            if (id >= vocabulary.size() || vocabulary.kind(static_cast<TokenId>(id)) != PieceKind::Control)
                return std::nullopt;
            return static_cast<TokenId>(id);
        };
        m_parts.bos = special(m_bos);
        m_parts.eos = special(m_eos);
        if (m_parts.bos)
            m_parts.prefix = {*m_parts.bos};
        return {};
    }

    void readSpaces()
    {
        const std::string symbol = m_escapeSpaces ? "\u2581" : " ";
        if (m_collapseSpaces)
            m_parts.normalizer.push_back({.kind = RewriteStep::Kind::CollapseSpaces});
        if (m_dummyPrefix)
            m_parts.normalizer.push_back({.kind = RewriteStep::Kind::Prepend, .to = symbol});
        if (m_escapeSpaces)
            m_parts.normalizer.push_back({.kind = RewriteStep::Kind::Replace, .from = " ", .to = symbol});
        m_parts.spaceSymbol = m_escapeSpaces ? symbol : std::string {};
        m_parts.stripsLeadingSpace = m_dummyPrefix;
    }

    Bytes m_file;
    const std::string& m_where;
    TokenizerParts m_parts;
    std::vector<float> m_scores;
    // What the messages mean where they say nothing.
    std::uint64_t m_modelType = 1, m_unknown = 0, m_bos = 1, m_eos = 2;
    bool m_spaceBehind = false, m_toBytes = false, m_hasCharacterMap = false;
    bool m_dummyPrefix = true, m_collapseSpaces = true, m_escapeSpaces = true;
    std::string_view m_normalization;
};

}  // namespace

Result<TokenizerParts> readSentencePieceModel(Bytes file, const std::string& where)
{
    return SentencePieceReader(file, where).read();
}

}  // namespace quantloupe
