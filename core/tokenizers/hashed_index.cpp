// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/hashed_index.h"

#include <algorithm>
#include <bit>

namespace quantloupe {

HashedIndex::HashedIndex(std::vector<Entry> entries)
    : m_entries(std::move(entries))
{
    std::stable_sort(m_entries.begin(), m_entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
    const auto bits = std::clamp(static_cast<unsigned>(std::bit_width(m_entries.size())), 1U, 24U);
    m_shift = 64U - bits;
    m_starts.assign((std::size_t {1} << bits) + 1, 0);
    for (const auto& entry : m_entries)
        ++m_starts[(entry.key >> m_shift) + 1];
    for (std::size_t i = 1; i < m_starts.size(); ++i)
        m_starts[i] += m_starts[i - 1];
}

std::span<const HashedIndex::Entry> HashedIndex::find(std::uint64_t key) const
{
    if (m_starts.empty())
        return {};
    const auto bucket = key >> m_shift;
    const std::span all(m_entries);
    const auto range = all.subspan(m_starts[bucket], m_starts[bucket + 1] - m_starts[bucket]);
    const auto begin =
        std::partition_point(range.begin(), range.end(), [key](const Entry& entry) { return entry.key < key; });
    auto end = begin;
    while (end != range.end() && end->key == key)
        ++end;
    return {begin, end};
}

std::uint64_t pairKey(std::uint32_t first, std::uint32_t second)
{
    // The finalizer of SplitMix64, which is a bijection.
    auto z = (std::uint64_t {first} << 32U) | second;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

}  // namespace quantloupe
