// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/prefix_index.h"

#include <algorithm>

namespace quantloupe {

void PrefixIndex::add(std::string_view text, std::uint32_t value)
{
    if (text.empty())
        return;
    m_entries.push_back({static_cast<std::uint32_t>(m_texts.size()), static_cast<std::uint32_t>(text.size()), value});
    m_texts += text;
}

void PrefixIndex::finish()
{
    std::stable_sort(
        m_entries.begin(), m_entries.end(), [&](const Entry& a, const Entry& b) { return textOf(a) < textOf(b); });
    const auto twins = std::unique(
        m_entries.begin(), m_entries.end(), [&](const Entry& a, const Entry& b) { return textOf(a) == textOf(b); });
    m_entries.erase(twins, m_entries.end());
    m_starts = {};
    for (const auto& entry : m_entries)
        ++m_starts[static_cast<unsigned char>(m_texts[entry.begin]) + 1U];
    for (std::size_t i = 1; i < m_starts.size(); ++i)
        m_starts[i] += m_starts[i - 1];
}

void PrefixIndex::narrow(std::size_t& begin, std::size_t& end, std::size_t depth, unsigned char byte) const
{
    const auto byteAt = [&](const Entry& entry) { return static_cast<unsigned char>(m_texts[entry.begin + depth]); };
    const auto first = m_entries.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = m_entries.begin() + static_cast<std::ptrdiff_t>(end);
    const auto from = std::partition_point(first, last, [&](const Entry& entry) { return byteAt(entry) < byte; });
    const auto to = std::partition_point(from, last, [&](const Entry& entry) { return byteAt(entry) == byte; });
    begin = static_cast<std::size_t>(from - m_entries.begin());
    end = static_cast<std::size_t>(to - m_entries.begin());
}

std::optional<PrefixIndex::Match> PrefixIndex::longestPrefix(std::string_view text) const
{
    std::optional<Match> longest;
    forEachPrefix(text, [&](std::uint32_t value, std::size_t length) { longest = Match {value, length}; });
    return longest;
}

}  // namespace quantloupe
