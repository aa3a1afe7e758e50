// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/inference/text_windows.h"

#include <cstdint>
#include <random>
#include <vector>

namespace quantloupe::tests {

/// One window per sequence, one behind the other; every prediction is scored.
inline WindowedText windowsOf(const std::vector<std::vector<std::uint32_t>>& sequences)
{
    WindowedText text;
    for (const auto& sequence : sequences) {
        text.windows.push_back({.begin = text.tokens.size(), .length = sequence.size()});
        text.tokens.insert(text.tokens.end(), sequence.begin(), sequence.end());
    }
    return text;
}

inline WindowedText randomWindows(std::size_t vocabulary, const std::vector<std::size_t>& lengths, unsigned seed = 1)
{
    std::mt19937 random(seed);
    std::vector<std::vector<std::uint32_t>> sequences;
    for (const auto length : lengths) {
        auto& sequence = sequences.emplace_back(length);
        for (auto& token : sequence)
            token = std::uint32_t(random() % vocabulary);
    }
    return windowsOf(sequences);
}

}  // namespace quantloupe::tests
