// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/name_patterns.h"

#include "core/base/glob.h"

#include <algorithm>
#include <map>
#include <queue>

namespace quantloupe {
namespace {

/// Names with more numbers than this (none known) are only tried with all of them replaced.
constexpr std::size_t kMaxNumbers = 3;

bool isNumber(std::string_view part)
{
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> split(std::string_view name)
{
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= name.size();) {
        const auto end = std::min(name.find('.', begin), name.size());
        parts.emplace_back(name.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

std::string join(const std::vector<std::string>& parts)
{
    std::string name = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i)
        name.append(".").append(parts[i]);
    return name;
}

std::vector<std::size_t> numberPositions(const std::vector<std::string>& parts)
{
    std::vector<std::size_t> positions;
    for (std::size_t i = 0; i < parts.size(); ++i)
        if (isNumber(parts[i]))
            positions.push_back(i);
    return positions;
}

/// Every glob by which this tensor could be named together with others.
std::vector<std::string> candidates(const std::string& name)
{
    const auto parts = split(name);
    const auto numbers = numberPositions(parts);
    std::vector<std::string> patterns;
    if (numbers.empty())
        return patterns;
    if (numbers.size() > kMaxNumbers)
        return {familyPattern(name)};
    for (unsigned mask = 1; mask < (1U << numbers.size()); ++mask) {
        auto starred = parts;
        for (std::size_t i = 0; i < numbers.size(); ++i)
            if (mask & (1U << i))
                starred[numbers[i]].assign(1, '*');
        patterns.push_back(join(starred));
        if (mask & 1U) {  // the block's decade: "?" for 0–9, "1?" for 10–19
            auto decade = starred;
            decade[numbers[0]] = parts[numbers[0]];
            decade[numbers[0]].back() = '?';
            patterns.push_back(join(decade));
        }
    }
    auto block = std::vector<std::string>(parts.begin(), parts.begin() + std::ptrdiff_t(numbers[0]) + 1);
    block.emplace_back("*");
    patterns.push_back(join(block));
    return patterns;
}

struct Candidate {
    std::string pattern;
    std::vector<std::size_t> members;
    std::size_t uncovered = 0;
};

/// Widest first; a star before a question mark, then by text, so that the result never depends on chance.
struct Narrower {
    bool operator()(const Candidate& left, const Candidate& right) const
    {
        if (left.uncovered != right.uncovered)
            return left.uncovered < right.uncovered;
        const auto questions = [](const std::string& text) { return std::count(text.begin(), text.end(), '?'); };
        const auto leftQuestions = questions(left.pattern), rightQuestions = questions(right.pattern);
        return leftQuestions != rightQuestions ? leftQuestions > rightQuestions : left.pattern > right.pattern;
    }
};

bool matchesAny(const std::string& pattern, const ModelCatalog& model, const std::vector<char>& marked)
{
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (marked[i] && globMatches(pattern, model.tensors[i].name))
            return true;
    return false;
}

}  // namespace

bool hasWildcard(std::string_view pattern)
{
    return pattern.find_first_of("*?") != std::string_view::npos;
}

std::string familyPattern(std::string_view tensorName)
{
    auto parts = split(tensorName);
    for (auto& part : parts)
        if (isNumber(part))
            part.assign(1, '*');
    return join(parts);
}

std::vector<std::string> coveringGlobs(
    const ModelCatalog& model, const std::vector<char>& wanted, const std::vector<char>& forbidden)
{
    std::map<std::string, std::vector<std::size_t>> byPattern;
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (wanted[i])
            for (auto& pattern : candidates(model.tensors[i].name))
                byPattern[std::move(pattern)].push_back(i);

    std::priority_queue<Candidate, std::vector<Candidate>, Narrower> queue;
    for (auto& [pattern, members] : byPattern)
        if (members.size() > 1)
            queue.push({pattern, members, members.size()});

    // Greedy set cover. Counts only shrink, so a candidate is recounted when it comes up, and checked against the
    // forbidden tensors only then: most never do.
    std::vector<char> covered(model.tensors.size(), 0);
    std::vector<std::string> globs;
    while (!queue.empty()) {
        auto candidate = queue.top();
        queue.pop();
        const auto left = std::size_t(std::count_if(
            candidate.members.begin(), candidate.members.end(), [&](std::size_t i) { return !covered[i]; }));
        if (left < 2)
            continue;
        if (left < candidate.uncovered) {
            candidate.uncovered = left;
            queue.push(std::move(candidate));
            continue;
        }
        if (matchesAny(candidate.pattern, model, forbidden))
            continue;
        for (const auto member : candidate.members)
            covered[member] = 1;
        globs.push_back(std::move(candidate.pattern));
    }
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (wanted[i] && !covered[i])
            globs.push_back(model.tensors[i].name);
    return globs;
}

}  // namespace quantloupe
