// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quantloupe {

/// What a character is, as bits: all that splitting text into words asks. Source: Unicode general categories.
namespace char_class {
inline constexpr std::uint16_t letter = 1;
inline constexpr std::uint16_t number = 2;
inline constexpr std::uint16_t space = 4;      ///< property White_Space, line breaks included
inline constexpr std::uint16_t lineBreak = 8;  ///< CR and LF only
inline constexpr std::uint16_t mark = 16;
inline constexpr std::uint16_t upperLike = 32;  ///< Lu, Lt, Lm, Lo, M
inline constexpr std::uint16_t lowerLike = 64;  ///< Ll, Lm, Lo, M
inline constexpr std::uint16_t punctuation = 128;
inline constexpr std::uint16_t word = 256;  ///< letters, marks, decimal and letter numbers, connectors
}  // namespace char_class

struct Character {
    char32_t code = 0;
    std::uint16_t classes = 0;
    std::uint8_t length = 1;  ///< bytes in UTF-8

    bool is(std::uint16_t any) const { return (classes & any) != 0; }
};

/// The character that begins at byte `at`. @pre at < text.size(), and one begins there; `text` is well-formed
Character characterAt(std::string_view text, std::size_t at);

/// The character that ends before byte `end`. @pre 0 < end ≤ text.size(); `text` is well-formed
Character characterBefore(std::string_view text, std::size_t end);

/// Bytes of the character that `first` leads, as its high bits claim; 1 for bytes that lead none.
std::size_t claimedLength(char first);

enum class NormalForm : std::uint8_t { Nfc, Nfd, Nfkc, Nfkd };

/// `text` in a Unicode normalization form. @pre `text` is well-formed
std::string inNormalForm(std::string_view text, NormalForm form);

}  // namespace quantloupe
