// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/prefix_index.h"
#include "core/tokenizers/segmentation.h"

#include <span>

namespace quantloupe {

/// Byte-pair encoding by scores, as SentencePiece, GGUF's "llama" and llama2.c have it: of all neighbours that are a
/// piece together, those with the highest score merge first. Source: SentencePiece, bpe_model.cc.
class ScoreBpe
{
public:
    /// `scores` by token id; `mergeable` says which pieces merging may form; those of `frozen` are found in the text
    /// first and merge with nothing. @pre no score is NaN; the vocabulary is indexed
    ScoreBpe(const Vocabulary& vocabulary, std::span<const float> scores, const std::vector<bool>& mergeable,
        std::span<const TokenId> frozen, UnspelledRule unspelled);

    void segment(
        std::string_view word, const Vocabulary& vocabulary, SegmentScratch& scratch, std::vector<TokenId>& out) const;

private:
    std::vector<std::uint32_t> m_priorities;  ///< by token id; equal for equal scores; kNoSymbol: does not merge
    PrefixIndex m_frozen;
    UnspelledRule m_unspelled;
    std::array<TokenId, 128> m_ascii {};
};

}  // namespace quantloupe
