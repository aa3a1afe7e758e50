// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Texts with numbers, to find those that another text begins with. Sorted, so that a range of candidates narrows byte
/// by byte.
class PrefixIndex
{
public:
    struct Match {
        std::uint32_t value = 0;
        std::size_t length = 0;  ///< bytes
    };

    /// An empty text is left out. @pre not finished; less than 4 GiB in all
    void add(std::string_view text, std::uint32_t value);
    /// Of equal texts the one added first stays.
    void finish();

    bool empty() const { return m_entries.empty(); }

    /// Calls `visit(value, length)` for every text that `text` begins with, shortest first.
    template<class Visit>
    void forEachPrefix(std::string_view text, Visit visit) const
    {
        if (text.empty() || m_entries.empty())
            return;
        const auto first = static_cast<unsigned char>(text[0]);
        std::size_t begin = m_starts[first], end = m_starts[first + 1U];
        for (std::size_t depth = 1; begin < end; ++depth) {
            if (m_entries[begin].length == depth) {
                visit(m_entries[begin].value, depth);
                ++begin;
            }
            if (depth == text.size())
                return;
            narrow(begin, end, depth, static_cast<unsigned char>(text[depth]));
        }
    }

    std::optional<Match> longestPrefix(std::string_view text) const;

private:
    struct Entry {
        std::uint32_t begin = 0, length = 0, value = 0;
    };
    std::string_view textOf(const Entry& entry) const
    {
        return std::string_view(m_texts).substr(entry.begin, entry.length);
    }
    /// Of the entries in the range, which are all longer than `depth`, leaves those whose byte there is `byte`.
    void narrow(std::size_t& begin, std::size_t& end, std::size_t depth, unsigned char byte) const;

    std::string m_texts;
    std::vector<Entry> m_entries;
    std::array<std::uint32_t, 257> m_starts {};
};

}  // namespace quantloupe
