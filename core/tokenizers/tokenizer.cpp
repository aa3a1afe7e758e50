// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/tokenizer.h"

#include "core/base/text.h"

#include <unordered_map>

namespace quantloupe {
namespace {

/// Longer words come rarely twice; more different ones than this a text has only where none repeats.
constexpr std::size_t kRememberedWord = 256;
constexpr std::size_t kRememberedWords = std::size_t {1} << 18U;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

/// What one call of encode() works with.
class EncodeState
{
public:
    std::vector<TokenId> ids;
    SegmentScratch scratch;
    bool wholeStretches = false;  ///< malformed text: a character that lacks bytes takes those of what follows
    /// Where in `ids` the tokens of a word stand.
    std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> remembered;

    void append(std::string_view word, const TokenizerParts& parts)
    {
        const bool worth = parts.wordsRepeat && !wholeStretches && word.size() <= kRememberedWord;
        if (worth) {
            if (const auto known = remembered.find(word); known != remembered.end()) {
                const auto [begin, count] = known->second;
                for (std::size_t i = 0; i < count; ++i)
                    ids.push_back(ids[begin + i]);
                return;
            }
        }
        const auto begin = ids.size();
        std::visit([&](const auto& model) { model.segment(word, parts.vocabulary, scratch, ids); }, parts.model);
        if (worth && remembered.size() < kRememberedWords)
            remembered.emplace(word, std::pair {begin, ids.size() - begin});
    }
};

Tokenizer::Tokenizer(TokenizerParts parts)
    : m_parts(std::move(parts))
{
}

bool Tokenizer::restoresTexts() const
{
    using Kind = RewriteStep::Kind;
    bool prepends = false;
    for (const auto* steps : {&m_parts.normalizer, &m_parts.rewriter})
        for (const auto& step : *steps) {
            if (step.kind != Kind::Prepend && (step.kind != Kind::Replace || step.to != m_parts.spaceSymbol))
                return false;
            prepends = prepends || step.kind == Kind::Prepend;
        }
    const auto& added = m_parts.added.all();
    const bool tokensDisturb = std::any_of(added.begin(), added.end(), [&](const AddedToken& token) {
        return !token.special && (prepends || token.takesLeftSpace || token.takesRightSpace);
    });
    return m_parts.spellsEverything && prepends == m_parts.stripsLeadingSpace && !tokensDisturb;
}

void Tokenizer::encodeStretch(std::string_view text, EncodeState& state) const
{
    if (state.wholeStretches) {
        state.append(text, m_parts);
        return;
    }
    state.remembered.clear();  // its words lie in the text of the stretch before
    splitIntoWords(text, m_parts.splitter, [&](std::string_view word) { state.append(word, m_parts); });
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool addSpecial, SpecialText specialText) const
{
    EncodeState state;
    std::string repaired;
    if (!isValidUtf8(text)) {
        if (m_parts.malformedBytesAsIs) {
            state.wholeStretches = true;
        } else {
            repaired = toValidUtf8(text);
            text = repaired;
        }
    }
    if (addSpecial)
        state.ids = m_parts.prefix;
    const bool withSpecial = specialText == SpecialText::IsToken;
    m_parts.added.split(text, false, withSpecial, [&](const AddedTokens::Part& part) {
        if (part.id != kNoToken) {
            state.ids.push_back(part.id);
            return;
        }
        bool textStart = part.text.data() == text.data();
        const auto normalized = rewritten(part.text, m_parts.normalizer, textStart);
        m_parts.added.split(normalized, true, withSpecial, [&](const AddedTokens::Part& inner) {
            if (inner.id != kNoToken)
                state.ids.push_back(inner.id);
            else if (m_parts.rewriter.empty())
                encodeStretch(inner.text, state);
            else
                encodeStretch(rewritten(inner.text, m_parts.rewriter, textStart), state);
            textStart = false;
        });
    });
    if (addSpecial)
        state.ids.insert(state.ids.end(), m_parts.suffix.begin(), m_parts.suffix.end());
    return std::move(state.ids);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool showSpecial) const
{
    std::string out;
    for (const auto id : ids) {
        if (id >= vocabularySize() || kind(id) == PieceKind::Absent) {
            out += kReplacement;
            continue;
        }
        const auto text = piece(id);
        switch (kind(id)) {
        case PieceKind::Control:
        case PieceKind::Unknown:
            if (showSpecial)
                out += text;
            break;
        case PieceKind::Byte: out += static_cast<char>(byteOfPiece(text).value_or(0)); break;
        default:
            if (m_parts.spaceSymbol.empty() || text.find(m_parts.spaceSymbol) == std::string_view::npos)
                out += text;
            else
                out += rewritten(
                    text, {{.kind = RewriteStep::Kind::Replace, .from = m_parts.spaceSymbol, .to = " "}}, false);
        }
    }
    if (m_parts.stripsLeadingSpace && out.starts_with(' '))
        out.erase(0, 1);
    return out;
}

std::string_view Tokenizer::piece(TokenId id) const
{
    return id < vocabularySize() ? m_parts.vocabulary.text(id) : std::string_view {};
}

PieceKind Tokenizer::kind(TokenId id) const
{
    return id < vocabularySize() ? m_parts.vocabulary.kind(id) : PieceKind::Absent;
}

std::optional<TokenId> Tokenizer::find(std::string_view piece) const
{
    const auto id = m_parts.vocabulary.find(piece);
    return id == kNoToken ? std::nullopt : std::optional(id);
}

SplitStep safeBoundaryBefore(const std::string& spaceSymbol, const Vocabulary& vocabulary)
{
    SplitStep step {.kind = SplitStep::Kind::SafeBoundary, .literal = spaceSymbol};
    for (TokenId id = 0; id < vocabulary.size(); ++id) {
        const auto text = vocabulary.text(id);
        for (auto at = text.find(spaceSymbol, 1); at != std::string_view::npos; at = text.find(spaceSymbol, at + 1))
            step.unsafe.push_back(characterBefore(text, at).code);
    }
    std::sort(step.unsafe.begin(), step.unsafe.end());
    step.unsafe.erase(std::unique(step.unsafe.begin(), step.unsafe.end()), step.unsafe.end());
    return step;
}

}  // namespace quantloupe
