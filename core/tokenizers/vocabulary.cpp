// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/vocabulary.h"

#include "core/base/hash.h"
#include "core/base/text.h"

#include <charconv>
#include <cstdio>
#include <span>

namespace quantloupe {
namespace {

std::uint64_t keyOfText(std::string_view text)
{
    return checksum64(std::as_bytes(std::span(text)));
}

}  // namespace

std::string Vocabulary::place(TokenId id, std::string_view text, PieceKind kind)
{
    if (id >= kMaxPieces)
        return "token " + std::to_string(id) + " of a vocabulary, more than 16,777,215";
    if (text.size() > kMaxPieceBytes)
        return "token " + std::to_string(id) + " of " + std::to_string(text.size()) + " bytes, more than 4,096";
    if (id >= m_pieces.size())
        m_pieces.resize(id + 1);
    auto& piece = m_pieces[id];
    if (piece.kind != PieceKind::Absent)
        return "token " + std::to_string(id) + " is both " + inQuotes(this->text(id)) + " and " + inQuotes(text);
    piece = {.begin = m_texts.size(), .length = static_cast<std::uint32_t>(text.size()), .kind = kind};
    m_texts += text;
    return {};
}

std::optional<std::pair<TokenId, TokenId>> Vocabulary::index(const std::vector<bool>& spelled)
{
    std::vector<HashedIndex::Entry> entries;
    entries.reserve(m_pieces.size());
    const auto add = [&](bool normal) {
        for (TokenId id = 0; id < m_pieces.size(); ++id)
            if (kind(id) != PieceKind::Absent && (kind(id) == PieceKind::Normal) == normal
                && (spelled.empty() || spelled[id]))
                entries.push_back({keyOfText(text(id)), id});
    };
    add(true);
    add(false);
    m_index = HashedIndex(std::move(entries));
    for (TokenId id = 0; id < m_pieces.size(); ++id)
        if (kind(id) == PieceKind::Normal && (spelled.empty() || spelled[id]))
            if (const auto first = find(text(id)); first != id)
                return std::pair {first, id};
    return std::nullopt;
}

TokenId Vocabulary::find(std::string_view wanted) const
{
    for (const auto& entry : m_index.find(keyOfText(wanted)))
        if (text(entry.value) == wanted)
            return entry.value;
    return kNoToken;
}

std::array<TokenId, 256> Vocabulary::byteTokens() const
{
    std::array<TokenId, 256> tokens {};
    for (unsigned byte = 0; byte < tokens.size(); ++byte) {
        std::array<char, 8> name {};
        std::snprintf(name.data(), name.size(), "<0x%02X>", byte);
        tokens[byte] = find(name.data());
    }
    return tokens;
}

std::optional<std::uint8_t> byteOfPiece(std::string_view text)
{
    if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>')
        return std::nullopt;
    std::uint8_t byte = 0;
    const auto* end = text.data() + 5;
    const auto read = std::from_chars(text.data() + 3, end, byte, 16);
    return read.ec == std::errc {} && read.ptr == end ? std::optional(byte) : std::nullopt;
}

}  // namespace quantloupe
