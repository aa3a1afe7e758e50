// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/byte_alphabet.h"

#include "core/tokenizers/unicode_text.h"

#include <array>

namespace quantloupe {
namespace {

constexpr int kNoByte = -1;

/// Printable Latin-1 characters stand for themselves, the other bytes follow from U+0100 in order.
const std::array<int, 324>& byteOfCharacter()
{
    static const auto table = [] {
        std::array<int, 324> bytes {};
        bytes.fill(kNoByte);
        std::size_t next = 256;
        for (int byte = 0; byte < 256; ++byte) {
            const bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
            bytes[itself ? static_cast<std::size_t>(byte) : next++] = byte;
        }
        return bytes;
    }();
    return table;
}

}  // namespace

std::optional<std::string> bytesOfAlphabet(std::string_view spelled)
{
    const auto& table = byteOfCharacter();
    std::string bytes;
    bytes.reserve(spelled.size());
    for (std::size_t at = 0; at < spelled.size();) {
        const auto character = characterAt(spelled, at);
        if (character.code >= table.size() || table[character.code] == kNoByte)
            return std::nullopt;
        bytes += static_cast<char>(table[character.code]);
        at += character.length;
    }
    return bytes;
}

std::string alphabetOfBytes(std::string_view bytes)
{
    static const auto spellings = [] {
        std::array<std::string, 256> made;
        const auto& table = byteOfCharacter();
        for (std::size_t code = 0; code < table.size(); ++code) {
            if (table[code] == kNoByte)
                continue;
            auto& spelling = made[static_cast<std::size_t>(table[code])];  // below U+0800: one byte or two
            if (code >= 0x80)
                spelling += static_cast<char>(0xC0 | code >> 6U);
            spelling += static_cast<char>(code < 0x80 ? code : 0x80 | (code & 0x3FU));
        }
        return made;
    }();
    std::string spelled;
    for (const char byte : bytes)
        spelled += spellings[static_cast<unsigned char>(byte)];
    return spelled;
}

}  // namespace quantloupe
