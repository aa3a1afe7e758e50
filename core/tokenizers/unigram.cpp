// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/unigram.h"

#include "core/tokenizers/unicode_text.h"

namespace quantloupe {
namespace {

constexpr double kUnknownPenalty = 10.0;

}  // namespace

Unigram::Unigram(
    const Vocabulary& vocabulary, std::span<const double> scores, const std::vector<bool>& usable, Options options)
    : m_options(options)
{
    double lowest = std::numeric_limits<double>::max();
    m_highest = std::numeric_limits<double>::lowest();
    for (TokenId id = 0; id < vocabulary.size(); ++id) {
        const auto kind = vocabulary.kind(id);
        if (kind == PieceKind::Absent)
            continue;
        if (kind == PieceKind::Normal || !m_options.singlePrecision) {
            lowest = std::min(lowest, scores[id]);
            m_highest = std::max(m_highest, scores[id]);
        }
        if (!usable[id])
            continue;
        m_texts.add(vocabulary.text(id), static_cast<std::uint32_t>(m_pieces.size()));
        m_pieces.push_back({.id = id, .score = scores[id], .userDefined = kind == PieceKind::UserDefined});
    }
    m_texts.finish();
    m_unknownScore = rounded(lowest - kUnknownPenalty);
}

double Unigram::rounded(double score) const
{
    return m_options.singlePrecision ? static_cast<double>(static_cast<float>(score)) : score;
}

double Unigram::scoreOf(const Piece& piece, std::size_t length) const
{
    if (!piece.userDefined || !m_options.singlePrecision)
        return piece.score;
    return static_cast<double>(static_cast<float>(length) * static_cast<float>(m_highest)) - 0.1;
}

void Unigram::segment(
    std::string_view word, const Vocabulary&, SegmentScratch& scratch, std::vector<TokenId>& out) const
{
    // Paths are kept from the last byte that every way passes; so memory follows the longest piece, not the text.
    auto& paths = scratch.paths;
    paths.assign(1, {.score = 0.0, .reached = true});
    std::size_t base = 0, furthest = 0;
    bool afterUnknown = false;

    const auto offer = [&](std::size_t begin, std::size_t end, TokenId id, double score) {
        if (paths.size() <= end - base)
            paths.resize(end - base + 1);
        furthest = std::max(furthest, end);
        auto& path = paths[end - base];
        if (path.reached && !(score > path.score))
            return;
        path = {.score = rounded(score),
            .begin = static_cast<std::uint32_t>(begin - base),
            .end = static_cast<std::uint32_t>(end - base),
            .id = id,
            .reached = true};
    };
    const auto emit = [&] {
        auto& chosen = scratch.chosen;
        chosen.clear();
        for (auto end = furthest - base; end > 0; end = paths[end].begin)
            chosen.push_back(paths[end]);
        for (auto path = chosen.rbegin(); path != chosen.rend(); ++path) {
            const auto text = word.substr(base + path->begin, path->end - path->begin);
            if (path->id != kNoToken)
                out.push_back(path->id);
            else if (!m_options.unspelled.appendBytes(text, out) && !(afterUnknown && m_options.unspelled.oneForRun))
                out.push_back(m_options.unspelled.unknown);
            afterUnknown = path->id == kNoToken;
        }
        paths.assign(1, {.score = paths[furthest - base].score, .reached = true});
        base = furthest;
    };

    for (std::size_t at = 0; at < word.size();) {
        if (at == furthest && at > base)
            emit();
        const auto score = paths[at - base].score;
        const auto length = std::min(claimedLength(word[at]), word.size() - at);
        bool spelled = false;
        m_texts.forEachPrefix(word.substr(at), [&](std::uint32_t number, std::size_t pieceLength) {
            const auto& piece = m_pieces[number];
            offer(at, at + pieceLength, piece.id, score + scoreOf(piece, pieceLength));
            spelled = spelled || pieceLength == length;
        });
        if (!spelled)
            offer(at, at + length, kNoToken, rounded(score + m_unknownScore));
        at += length;
    }
    if (furthest > base)
        emit();
}

}  // namespace quantloupe
