// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Numbers by well-mixed 64-bit keys. Sorted by key behind a table over the keys' first bits: a look-up costs as much
/// as in a hash table, and no choice of keys makes it slower than a binary search.
class HashedIndex
{
public:
    struct Entry {
        std::uint64_t key = 0;
        std::uint32_t value = 0;
    };

    HashedIndex() = default;
    /// Entries of the same key keep their order. @pre fewer than 2³² entries
    explicit HashedIndex(std::vector<Entry> entries);

    std::span<const Entry> find(std::uint64_t key) const;

private:
    std::vector<Entry> m_entries;
    std::vector<std::uint32_t> m_starts;  ///< of the entries whose keys begin with these bits, and an end
    unsigned m_shift = 63;
};

/// A key for two numbers: different pairs have different keys, neighbouring pairs distant ones.
std::uint64_t pairKey(std::uint32_t first, std::uint32_t second);

}  // namespace quantloupe
