// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/added_tokens.h"

#include "core/tokenizers/unicode_text.h"

namespace quantloupe {
namespace {

bool insideWord(std::string_view text, std::size_t begin, std::size_t end)
{
    return (begin > 0 && characterBefore(text, begin).is(char_class::word))
        || (end < text.size() && characterAt(text, end).is(char_class::word));
}

std::size_t spaceBegin(std::string_view text, std::size_t end, std::size_t limit)
{
    while (end > limit) {
        const auto last = characterBefore(text, end);
        if (!last.is(char_class::space))
            break;
        end -= last.length;
    }
    return end;
}

std::size_t spaceEndAfter(std::string_view text, std::size_t at)
{
    while (at < text.size()) {
        const auto next = characterAt(text, at);
        if (!next.is(char_class::space))
            break;
        at += next.length;
    }
    return at;
}

}  // namespace

void AddedTokens::finish()
{
    for (std::uint32_t i = 0; i < m_tokens.size(); ++i)
        (m_tokens[i].normalized ? m_normalized : m_raw).add(m_tokens[i].content, i);
    m_raw.finish();
    m_normalized.finish();
}

void AddedTokens::split(std::string_view text, bool normalized, bool withSpecial, const Visitor& visit) const
{
    const auto& index = normalized ? m_normalized : m_raw;
    std::size_t begin = 0;  // of the text that belongs to no token yet
    if (!index.empty()) {
        for (std::size_t at = 0; at < text.size();) {
            const auto match = index.longestPrefix(text.substr(at));
            if (!match) {
                ++at;
                continue;
            }
            const auto& token = m_tokens[match->value];
            auto from = at, to = at + match->length;
            at = to;
            if ((token.special && !withSpecial) || (token.singleWord && insideWord(text, from, to)))
                continue;
            if (token.takesLeftSpace)
                from = spaceBegin(text, from, begin);
            if (token.takesRightSpace)
                to = spaceEndAfter(text, to);
            if (begin < from)
                visit({text.substr(begin, from - begin)});
            visit({text.substr(from, to - from), token.id});
            begin = at = to;
        }
    }
    if (begin < text.size())
        visit({text.substr(begin)});
}

}  // namespace quantloupe
