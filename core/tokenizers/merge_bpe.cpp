// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/merge_bpe.h"

#include "core/tokenizers/unicode_text.h"

namespace quantloupe {

void MergeBpe::addMerge(TokenId left, TokenId right, TokenId merged)
{
    m_pairs.push_back({pairKey(left, right), static_cast<std::uint32_t>(m_merged.size())});
    m_merged.push_back(merged);
}

void MergeBpe::finish(const Vocabulary& vocabulary)
{
    m_ranks = HashedIndex(std::move(m_pairs));
    m_pairs = {};
    for (unsigned byte = 0; byte < 256; ++byte) {
        const auto text = static_cast<char>(byte);
        m_singleBytes[byte] = vocabulary.find({&text, 1});
    }
}

void MergeBpe::beginSymbols(std::string_view word, const Vocabulary& vocabulary, std::vector<Symbol>& symbols) const
{
    symbols.clear();
    std::uint32_t unknownBegin = 0, unknownLength = 0;
    const auto flush = [&] {
        if (unknownLength > 0)
            appendSymbol(symbols, m_options.unspelled.unknown, unknownBegin, unknownLength);
        unknownLength = 0;
    };
    for (std::size_t at = 0; at < word.size();) {
        const auto length = m_options.bytes ? 1 : std::min(claimedLength(word[at]), word.size() - at);
        const auto id = length == 1 ? m_singleBytes[static_cast<unsigned char>(word[at])]
                                    : vocabulary.find(word.substr(at, length));
        std::vector<TokenId> bytes;
        if (id != kNoToken) {
            flush();
            appendSymbol(symbols, id, at, length);
        } else if (m_options.unspelled.appendBytes(word.substr(at, length), bytes)) {
            for (std::size_t i = 0; i < bytes.size(); ++i)
                appendSymbol(symbols, bytes[i], at + i, 1);
        } else if (m_options.unspelled.unknown != kNoToken) {
            if (!m_options.unspelled.oneForRun)
                flush();
            if (unknownLength == 0)
                unknownBegin = static_cast<std::uint32_t>(at);
            unknownLength += static_cast<std::uint32_t>(length);
        }
        at += length;
    }
    flush();
}

void MergeBpe::segment(
    std::string_view word, const Vocabulary& vocabulary, SegmentScratch& scratch, std::vector<TokenId>& out) const
{
    if (m_options.wholeWords)
        if (const auto id = vocabulary.find(word); id != kNoToken) {
            out.push_back(id);
            return;
        }
    beginSymbols(word, vocabulary, scratch.symbols);
    mergeSymbols(
        scratch, [&](const Symbol& left, const Symbol& right) -> std::optional<std::pair<std::uint32_t, TokenId>> {
            const auto ranks = m_ranks.find(pairKey(left.id, right.id));
            if (ranks.empty())
                return std::nullopt;
            return std::pair {ranks.back().value, m_merged[ranks.back().value]};
        });
    for (const auto& symbol : scratch.symbols)
        if (symbol.length > 0)
            out.push_back(symbol.id);
}

}  // namespace quantloupe
