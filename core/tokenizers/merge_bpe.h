// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/segmentation.h"

#include <string>

namespace quantloupe {

/// Byte-pair encoding by a list of merges in order of rank, as tokenizer.json and GGUF's "gpt2" have it.
/// Source: Sennrich et al. 2016; Hugging Face tokenizers, models/bpe.
class MergeBpe
{
public:
    struct Options {
        bool bytes = false;       ///< symbols begin as bytes, not as characters
        bool wholeWords = false;  ///< a word that is in the vocabulary is not merged from its parts
        UnspelledRule unspelled {};
    };

    explicit MergeBpe(Options options)
        : m_options(options)
    {
    }

    /// The next merge in order of rank. A pair that occurs twice has its last rank.
    void addMerge(TokenId left, TokenId right, TokenId merged);
    /// @pre all merges are added; the vocabulary is indexed
    void finish(const Vocabulary& vocabulary);

    const Options& options() const { return m_options; }
    void segment(
        std::string_view word, const Vocabulary& vocabulary, SegmentScratch& scratch, std::vector<TokenId>& out) const;

private:
    void beginSymbols(std::string_view word, const Vocabulary& vocabulary, std::vector<Symbol>& symbols) const;

    Options m_options;
    std::vector<HashedIndex::Entry> m_pairs;
    std::vector<TokenId> m_merged;  ///< by rank
    HashedIndex m_ranks;
    std::array<TokenId, 256> m_singleBytes {};  ///< tokens of one byte
};

}  // namespace quantloupe
