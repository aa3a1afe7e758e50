// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/score_bpe.h"

#include "core/tokenizers/unicode_text.h"

namespace quantloupe {

ScoreBpe::ScoreBpe(const Vocabulary& vocabulary, std::span<const float> scores, const std::vector<bool>& mergeable,
    std::span<const TokenId> frozen, UnspelledRule unspelled)
    : m_priorities(vocabulary.size(), kNoSymbol)
    , m_unspelled(unspelled)
{
    std::vector<TokenId> order;
    for (TokenId id = 0; id < vocabulary.size(); ++id)
        if (mergeable[id] && vocabulary.kind(id) != PieceKind::Absent)
            order.push_back(id);
    std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return scores[a] > scores[b]; });
    std::uint32_t priority = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i > 0 && scores[order[i]] != scores[order[i - 1]])
            ++priority;
        m_priorities[order[i]] = priority;
    }
    for (const auto id : frozen)
        m_frozen.add(vocabulary.text(id), id);
    m_frozen.finish();
    for (unsigned code = 0; code < m_ascii.size(); ++code) {
        const auto text = static_cast<char>(code);
        m_ascii[code] = vocabulary.find({&text, 1});
    }
}

void ScoreBpe::segment(
    std::string_view word, const Vocabulary& vocabulary, SegmentScratch& scratch, std::vector<TokenId>& out) const
{
    auto& symbols = scratch.symbols;
    symbols.clear();
    for (std::size_t at = 0; at < word.size();) {
        if (const auto match = m_frozen.longestPrefix(word.substr(at))) {
            appendSymbol(symbols, match->value, at, match->length, true);
            at += match->length;
            continue;
        }
        const auto length = std::min(claimedLength(word[at]), word.size() - at);
        const auto byte = static_cast<unsigned char>(word[at]);
        appendSymbol(
            symbols, byte < m_ascii.size() ? m_ascii[byte] : vocabulary.find(word.substr(at, length)), at, length);
        at += length;
    }
    mergeSymbols(
        scratch, [&](const Symbol& left, const Symbol& right) -> std::optional<std::pair<std::uint32_t, TokenId>> {
            const auto id = vocabulary.find(word.substr(left.begin, left.length + right.length));
            if (id == kNoToken || m_priorities[id] == kNoSymbol)
                return std::nullopt;
            return std::pair {m_priorities[id], id};
        });
    bool afterUnknown = false;
    for (const auto& symbol : symbols) {
        if (symbol.length == 0)
            continue;
        const bool spelled = symbol.id != kNoToken && symbol.id != m_unspelled.unknown;
        if (spelled)
            out.push_back(symbol.id);
        else if (!m_unspelled.appendBytes(word.substr(symbol.begin, symbol.length), out)
            && m_unspelled.unknown != kNoToken && !(afterUnknown && m_unspelled.oneForRun))
            out.push_back(m_unspelled.unknown);
        afterUnknown = !spelled;
    }
}

}  // namespace quantloupe
