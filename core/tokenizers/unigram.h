// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/prefix_index.h"
#include "core/tokenizers/segmentation.h"

#include <span>

namespace quantloupe {

/// The most likely way to put a text together from pieces, found by Viterbi's algorithm.
/// Source: Kudo 2018; SentencePiece, unigram_model.cc; Hugging Face tokenizers, models/unigram.
class Unigram
{
public:
    struct Options {
        /// SentencePiece adds scores in single precision, Hugging Face in double: where two ways are nearly as good,
        /// that decides.
        bool singlePrecision = false;
        UnspelledRule unspelled {};
    };

    /// `scores` by token id; `usable` says which pieces a text may be made of. User-defined pieces always win.
    /// @pre no score is NaN
    Unigram(
        const Vocabulary& vocabulary, std::span<const double> scores, const std::vector<bool>& usable, Options options);

    void segment(
        std::string_view word, const Vocabulary& vocabulary, SegmentScratch& scratch, std::vector<TokenId>& out) const;

private:
    struct Piece {
        TokenId id = kNoToken;
        double score = 0.0;
        bool userDefined = false;
    };
    double rounded(double score) const;
    double scoreOf(const Piece& piece, std::size_t length) const;

    PrefixIndex m_texts;
    std::vector<Piece> m_pieces;
    double m_unknownScore = 0.0;
    double m_highest = 0.0;
    Options m_options;
};

}  // namespace quantloupe
