// SPDX-License-Identifier: GPL-3.0-or-later
// The alternatives that the known word patterns are made of.
#pragma once

#include "core/tokenizers/unicode_text.h"

#include <array>
#include <limits>

namespace quantloupe::word_rules {

enum class Contraction : std::uint8_t { None, AsWritten, AnyCase, AnyCaseSuffix };
enum class Letters : std::uint8_t {
    AfterSpace,      ///< ` ?\p{L}+`
    AfterAnything,   ///< `[^\r\n\p{L}\p{N}]?\p{L}+`
    MarksToo,        ///< `[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+`
    UpperThenLower,  ///< `[^\r\n\p{L}\p{N}]?` before words that begin a new one at an upper case letter
};

/// One pattern of the family that GPT-2 began. All of them end in `\s+(?!\S)|\s+`.
struct Rules {
    Contraction contraction = Contraction::None;
    Letters letters = Letters::AfterSpace;
    unsigned digits = 0;          ///< `\p{N}{1,digits}`; 0: ` ?\p{N}+`
    bool lineBreaksTail = false;  ///< `[\r\n]*` after other characters, and `\s*[\r\n]+`
    bool slashTail = false;       ///< `[\r\n/]*` there instead
};

/// End of the longest run of characters that `test` holds for, at most `limit` of them.
template<class Test>
std::size_t runEnd(
    std::string_view text, std::size_t at, Test test, std::size_t limit = std::numeric_limits<std::size_t>::max())
{
    for (; at < text.size() && limit > 0; --limit) {
        const auto character = characterAt(text, at);
        if (!test(character))
            break;
        at += character.length;
    }
    return at;
}

inline std::size_t classRun(std::string_view text, std::size_t at, std::uint16_t classes)
{
    return runEnd(text, at, [classes](const Character& c) { return c.is(classes); });
}

/// `'s|'t|'re|'ve|'m|'ll|'d`
inline std::size_t contractionEnd(std::string_view text, std::size_t at, bool anyCase)
{
    if (at >= text.size() || text[at] != '\'')
        return at;
    // Case folding makes an s of U+017F, the long s, too.
    if (anyCase && text.substr(at + 1).starts_with("\xC5\xBF"))
        return at + 3;
    const auto letter = [&](std::size_t i) {
        const char c = i < text.size() ? text[i] : '\0';
        return anyCase && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const char first = letter(at + 1), second = letter(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return at + 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
        return at + 3;
    return at;
}

/// `U*L+|U+L*`, U upper-like and L lower-like characters, which overlap: the last that is both may end the one or begin
/// the other. Gives the end of the first alternative only, or of the second only.
inline std::size_t upperThenLowerEnd(std::string_view text, std::size_t at, bool lowerNeeded)
{
    using namespace char_class;
    const auto upperEnd = classRun(text, at, upperLike);
    if (!lowerNeeded)
        return upperEnd == at ? at : classRun(text, upperEnd, lowerLike);
    if (const auto end = classRun(text, upperEnd, lowerLike); end > upperEnd)
        return end;
    for (auto end = upperEnd; end > at;) {
        const auto last = characterBefore(text, end);
        if (last.is(lowerLike))
            return end;
        end -= last.length;
    }
    return at;
}

inline std::size_t wordEnd(std::string_view text, std::size_t at, Letters letters)
{
    using namespace char_class;
    if (letters == Letters::AfterSpace) {
        const auto begin = text[at] == ' ' ? at + 1 : at;
        const auto end = classRun(text, begin, letter);
        return end > begin ? end : at;
    }
    const auto first = characterAt(text, at);
    const auto past = first.is(lineBreak | letter | number) ? at : at + first.length;
    if (letters == Letters::UpperThenLower) {
        for (const bool lowerNeeded : {true, false})
            for (const auto begin : {past, at})
                if (const auto end = upperThenLowerEnd(text, begin, lowerNeeded); end > begin)
                    return end;
        return at;
    }
    const auto wanted = static_cast<std::uint16_t>(letters == Letters::MarksToo ? letter | mark : letter);
    for (const auto begin : {past, at})
        if (const auto end = classRun(text, begin, wanted); end > begin)
            return end;
    return at;
}

inline std::size_t numberEnd(std::string_view text, std::size_t at, unsigned digits)
{
    const auto isNumber = [](const Character& c) { return c.is(char_class::number); };
    if (digits > 0)
        return runEnd(text, at, isNumber, digits);
    const auto begin = text[at] == ' ' ? at + 1 : at;
    const auto end = runEnd(text, begin, isNumber);
    return end > begin ? end : at;
}

/// ` ?[^\s\p{L}\p{N}]+` and what may hang on to it.
inline std::size_t othersEnd(std::string_view text, std::size_t at, const Rules& rules)
{
    using namespace char_class;
    const auto excluded =
        static_cast<std::uint16_t>(space | letter | number | (rules.letters == Letters::MarksToo ? mark : 0));
    const auto begin = text[at] == ' ' ? at + 1 : at;
    const auto end = runEnd(text, begin, [excluded](const Character& c) { return !c.is(excluded); });
    if (end == begin)
        return at;
    if (!rules.lineBreaksTail)
        return end;
    return runEnd(
        text, end, [&](const Character& c) { return c.is(lineBreak) || (rules.slashTail && c.code == U'/'); });
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`, without the first where line breaks are nothing special.
inline std::size_t spaceEnd(std::string_view text, std::size_t at, bool lineBreaksFirst)
{
    using namespace char_class;
    std::size_t end = at, lastBegin = at, lineEnd = at;
    while (end < text.size()) {
        const auto character = characterAt(text, end);
        if (!character.is(space))
            break;
        lastBegin = end;
        end += character.length;
        if (character.is(lineBreak))
            lineEnd = end;
    }
    if (lineBreaksFirst && lineEnd > at)
        return lineEnd;
    return end == text.size() || lastBegin == at ? end : lastBegin;
}

template<Rules rules>
std::size_t matchRules(std::string_view text, std::size_t at)
{
    if constexpr (rules.contraction == Contraction::AsWritten || rules.contraction == Contraction::AnyCase)
        if (const auto end = contractionEnd(text, at, rules.contraction == Contraction::AnyCase); end > at)
            return end;
    if (const auto end = wordEnd(text, at, rules.letters); end > at) {
        if constexpr (rules.contraction == Contraction::AnyCaseSuffix)
            return contractionEnd(text, end, true);
        return end;
    }
    if (const auto end = numberEnd(text, at, rules.digits); end > at)
        return end;
    if (const auto end = othersEnd(text, at, rules); end > at)
        return end;
    return spaceEnd(text, at, rules.lineBreaksTail);
}

/// `\p{N}{1,limit}`, without a limit where it is 0.
template<unsigned limit>
std::size_t matchNumbers(std::string_view text, std::size_t at)
{
    const auto isNumber = [](const Character& c) { return c.is(char_class::number); };
    return limit == 0 ? runEnd(text, at, isNumber) : runEnd(text, at, isNumber, limit);
}

/// `[0-9][0-9][0-9]`
inline std::size_t matchThreeDigits(std::string_view text, std::size_t at)
{
    const auto end = runEnd(
        text, at, [](const Character& c) { return c.code >= U'0' && c.code <= U'9'; }, 3);
    return end == at + 3 ? end : at;
}

/// `[\p{P}\$\+<=>\^~\|]+`
inline std::size_t matchPunctuation(std::string_view text, std::size_t at)
{
    constexpr std::u32string_view others = U"$+<=>^~|";
    return runEnd(text, at, [&](const Character& c) {
        return c.is(char_class::punctuation) || others.find(c.code) != std::u32string_view::npos;
    });
}

}  // namespace quantloupe::word_rules
