// SPDX-License-Identifier: GPL-3.0-or-later
// The text that the sample is trained on: short stories from a grammar that was written for it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace quantloupe {

/// Tells stories: a hero with a treasure meets trouble, fails, and is helped by a friend whose kind is able to. What is
/// chosen once (names, kinds, treasure, colour, relative, food, weather) comes again later in the story, so that there
/// is something to remember, and what a friend can do follows from the trouble, so that there is something to know.
/// There are more than 10¹² stories. The same seed tells the same ones everywhere.
class StoryTeller
{
public:
    explicit StoryTeller(std::uint64_t seed)
        : m_random(seed)
    {
    }

    /// The next story: one paragraph of plain English without line breaks.
    std::string tell();

private:
    std::mt19937_64 m_random;
};

/// `count` stories of a seed.
std::vector<std::string> tellStories(std::uint64_t seed, std::size_t count);

/// Stories as a text: each followed by an empty line.
std::string joinStories(const std::vector<std::string>& stories);

}  // namespace quantloupe
