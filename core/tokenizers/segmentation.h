// SPDX-License-Identifier: GPL-3.0-or-later
// What the models that cut text into pieces share: scratch memory, what becomes of the unspellable, and the merging of
// neighbours.
#pragma once

#include "core/tokenizers/vocabulary.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace quantloupe {

/// What becomes of a character that no piece spells.
struct UnspelledRule {
    std::array<TokenId, 256> bytes {};  ///< token of each byte; kNoToken where there is none
    bool toBytes = false;               ///< bytes instead of `unknown`, if all of them have tokens
    TokenId unknown = kNoToken;         ///< kNoToken: the character is left out
    bool oneForRun = false;             ///< one `unknown` for a run of such characters

    /// Appends the bytes of `text` as tokens; false, and nothing appended, when that cannot be done.
    bool appendBytes(std::string_view text, std::vector<TokenId>& out) const
    {
        const auto tokenOf = [&](char byte) { return bytes[static_cast<unsigned char>(byte)]; };
        if (!toBytes || std::any_of(text.begin(), text.end(), [&](char byte) { return tokenOf(byte) == kNoToken; }))
            return false;
        for (const char byte : text)
            out.push_back(tokenOf(byte));
        return true;
    }
};

/// A stretch of the text that is one token so far. Neighbours form a list, as merging takes the right one out.
struct Symbol {
    TokenId id = kNoToken;
    std::uint32_t begin = 0, length = 0;  ///< bytes; a length of 0 marks what was merged away
    std::uint32_t previous = 0, next = 0;
    bool frozen = false;  ///< takes part in no merge
};

/// Two neighbours that may merge: lower priority first, then from left to right.
struct MergeCandidate {
    std::uint32_t priority = 0;
    std::uint32_t position = 0;  ///< of the left symbol
    std::uint32_t length = 0;    ///< bytes of both, which tells whether they are still what they were
    TokenId id = kNoToken;       ///< of the merged symbol

    bool operator>(const MergeCandidate& other) const
    {
        return priority != other.priority ? priority > other.priority : position > other.position;
    }
};

/// Where the best way to a byte comes from.
struct BestPath {
    double score = 0.0;
    std::uint32_t begin = 0, end = 0;  ///< of the last piece
    TokenId id = kNoToken;             ///< of the last piece; kNoToken for an unspelled character
    bool reached = false;
};

/// Memory that cutting needs, kept from word to word. One per thread.
struct SegmentScratch {
    std::vector<Symbol> symbols;
    std::vector<MergeCandidate> candidates;
    std::vector<BestPath> paths;
    std::vector<BestPath> chosen;
};

inline constexpr std::uint32_t kNoSymbol = std::numeric_limits<std::uint32_t>::max();

/// Merges neighbours until none can be: always the pair of lowest priority, the leftmost of equals.
/// `mergeOf(left, right)` gives priority and id of a merge, or nullopt. Takes O(n log n) for n symbols.
template<class MergeOf>
void mergeSymbols(SegmentScratch& scratch, MergeOf mergeOf)
{
    auto& symbols = scratch.symbols;
    auto& heap = scratch.candidates;
    heap.clear();
    const auto propose = [&](std::uint32_t left) -> bool {
        const auto right = symbols[left].next;
        if (right == kNoSymbol || symbols[left].frozen || symbols[right].frozen)
            return false;
        const std::optional<std::pair<std::uint32_t, TokenId>> merge = mergeOf(symbols[left], symbols[right]);
        if (merge)
            heap.push_back({merge->first, left, symbols[left].length + symbols[right].length, merge->second});
        return merge.has_value();
    };
    const auto later = [](const MergeCandidate& a, const MergeCandidate& b) { return a > b; };
    for (std::uint32_t i = 0; i < symbols.size(); ++i)
        propose(i);
    std::make_heap(heap.begin(), heap.end(), later);
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), later);
        const auto candidate = heap.back();
        heap.pop_back();
        auto& left = symbols[candidate.position];
        if (left.length == 0 || left.next == kNoSymbol || left.length + symbols[left.next].length != candidate.length)
            continue;
        auto& right = symbols[left.next];
        left.id = candidate.id;
        left.length = candidate.length;
        right.length = 0;
        left.next = right.next;
        if (left.next != kNoSymbol)
            symbols[left.next].previous = candidate.position;
        if (left.previous != kNoSymbol && propose(left.previous))
            std::push_heap(heap.begin(), heap.end(), later);
        if (propose(candidate.position))
            std::push_heap(heap.begin(), heap.end(), later);
    }
}

/// Appends a symbol behind the last.
inline void appendSymbol(
    std::vector<Symbol>& symbols, TokenId id, std::size_t begin, std::size_t length, bool frozen = false)
{
    const auto place = static_cast<std::uint32_t>(symbols.size());
    if (place > 0)
        symbols.back().next = place;
    symbols.push_back({.id = id,
        .begin = static_cast<std::uint32_t>(begin),
        .length = static_cast<std::uint32_t>(length),
        .previous = place > 0 ? place - 1 : kNoSymbol,
        .next = kNoSymbol,
        .frozen = frozen});
}

}  // namespace quantloupe
