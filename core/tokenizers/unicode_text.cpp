// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/unicode_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace quantloupe {
namespace {

std::uint16_t classesOfCategory(utf8proc_category_t category)
{
    using namespace char_class;
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT: return letter | upperLike | word;
    case UTF8PROC_CATEGORY_LL: return letter | lowerLike | word;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return letter | upperLike | lowerLike | word;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return mark | upperLike | lowerLike | word;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: return number | word;
    case UTF8PROC_CATEGORY_NO: return number;
    case UTF8PROC_CATEGORY_PC: return punctuation | word;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return punctuation;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return space;
    default: return 0;
    }
}

std::uint16_t classesOf(char32_t code)
{
    // The control characters that White_Space holds beside the separators.
    if (code == U'\n' || code == U'\r')
        return char_class::space | char_class::lineBreak;
    if ((code >= 0x09 && code <= 0x0D) || code == 0x85)
        return char_class::space;
    return classesOfCategory(utf8proc_category(static_cast<utf8proc_int32_t>(code)));
}

const std::array<std::uint16_t, 128>& asciiClasses()
{
    static const auto table = [] {
        std::array<std::uint16_t, 128> classes {};
        for (std::size_t i = 0; i < classes.size(); ++i)
            classes[i] = classesOf(static_cast<char32_t>(i));
        return classes;
    }();
    return table;
}

bool isContinuation(char byte)
{
    return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

}  // namespace

std::size_t claimedLength(char first)
{
    const auto byte = static_cast<unsigned char>(first);
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

Character characterAt(std::string_view text, std::size_t at)
{
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80)
        return {.code = first, .classes = asciiClasses()[first], .length = 1};
    const auto length = std::min(claimedLength(text[at]), text.size() - at);
    char32_t code = first & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i)
        code = (code << 6U) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
    return {.code = code, .classes = classesOf(code), .length = static_cast<std::uint8_t>(length)};
}

Character characterBefore(std::string_view text, std::size_t end)
{
    auto at = end - 1;
    while (at > 0 && isContinuation(text[at]))
        --at;
    return characterAt(text, at);
}

std::string inNormalForm(std::string_view text, NormalForm form)
{
    if (std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; }))
        return std::string(text);
    const bool composed = form == NormalForm::Nfc || form == NormalForm::Nfkc;
    const bool compatible = form == NormalForm::Nfkc || form == NormalForm::Nfkd;
    const auto options = static_cast<utf8proc_option_t>(
        UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0));
    utf8proc_uint8_t* mapped = nullptr;
    const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
        static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, std::free);
    if (length == UTF8PROC_ERROR_NOMEM)
        throw std::bad_alloc();
    if (length < 0)
        return std::string(text);
    return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length)};
}

}  // namespace quantloupe
