// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/hashed_index.h"

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

using TokenId = std::uint32_t;
inline constexpr TokenId kNoToken = std::numeric_limits<TokenId>::max();

/// What a piece is for, as SentencePiece and GGUF tell them apart.
enum class PieceKind : std::uint8_t {
    Absent,  ///< a number that no piece has
    Normal,
    Unknown,      ///< stands for what the vocabulary cannot spell
    Control,      ///< begin and end of text, roles of a conversation: no part of the text
    UserDefined,  ///< found in the text as a whole before anything else
    Unused,
    Byte,  ///< one byte of a character that the vocabulary lacks; written "<0x0A>"
};

/// Token ids and what they spell. Texts are the bytes they stand for: of byte-level vocabularies already decoded.
class Vocabulary
{
public:
    static constexpr std::size_t kMaxPieces = std::size_t {1} << 24U;
    static constexpr std::size_t kMaxPieceBytes = 4'096;

    /// Puts a piece at `id`. Gives what is wrong, as a clause: a number taken twice, a text too long; empty when
    /// nothing is.
    std::string place(TokenId id, std::string_view text, PieceKind kind);
    void setKind(TokenId id, PieceKind kind) { m_pieces[id].kind = kind; }

    /// Makes find() work. Of equal texts a Normal piece is found; gives two ids whose texts are equal and both Normal.
    /// `spelled` says which ids may be found at all; empty means every one.
    std::optional<std::pair<TokenId, TokenId>> index(const std::vector<bool>& spelled = {});

    std::size_t size() const { return m_pieces.size(); }
    std::string_view text(TokenId id) const
    {
        return std::string_view(m_texts).substr(m_pieces[id].begin, m_pieces[id].length);
    }
    PieceKind kind(TokenId id) const { return m_pieces[id].kind; }
    /// kNoToken where no piece has this text.
    TokenId find(std::string_view text) const;

    /// The tokens "<0x00>" to "<0xFF>", kNoToken where one is missing. @pre index()
    std::array<TokenId, 256> byteTokens() const;

private:
    struct Piece {
        std::uint64_t begin = 0;
        std::uint32_t length = 0;
        PieceKind kind = PieceKind::Absent;
    };
    std::string m_texts;
    std::vector<Piece> m_pieces;
    HashedIndex m_index;
};

/// The byte that a text like "<0x0A>" stands for.
std::optional<std::uint8_t> byteOfPiece(std::string_view text);

}  // namespace quantloupe
