// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/name_patterns.h"

#include "core/base/glob.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <tuple>
#include <unordered_map>

namespace quantloupe {
namespace {

constexpr std::uint64_t kLargestNumber = 0x7fff;  // numbers, decades and stars share 16 bits of a key
constexpr std::uint64_t kDecade = 0x8000;
constexpr std::uint64_t kStar = 0xffff;
constexpr std::size_t kMaxFamilies = 256;

bool isNumber(std::string_view part)
{
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string_view> split(std::string_view name)
{
    std::vector<std::string_view> parts;
    for (std::size_t begin = 0; begin <= name.size();) {
        const auto end = std::min(name.find('.', begin), name.size());
        parts.push_back(name.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

/// Value of a number that is written the usual way; nullopt for "007" and for what no block count reaches.
std::optional<std::uint64_t> valueOf(std::string_view number)
{
    if (number.size() > 5 || (number.size() > 1 && number.front() == '0'))
        return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : number)
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    return value <= kLargestNumber ? std::optional(value) : std::nullopt;
}

/// Families whose all-star glob reaches into another family, because `*` crosses dots.
std::vector<char> crossingFamilies(
    const std::vector<std::string>& families, const std::vector<std::string_view>& samples)
{
    std::vector<char> crossing(families.size(), families.size() > kMaxFamilies);
    if (families.size() > kMaxFamilies)
        return crossing;
    // Literal parts of a family hold no number and only whole parts are stars, so one member speaks for all.
    for (std::size_t i = 0; i < families.size(); ++i)
        for (std::size_t k = 0; k < samples.size() && !crossing[i]; ++k)
            crossing[i] = i != k && globMatches(families[i], samples[k]);
    return crossing;
}

}  // namespace

bool hasWildcard(std::string_view pattern)
{
    return pattern.find_first_of("*?") != std::string_view::npos;
}

std::string familyPattern(std::string_view tensorName)
{
    std::string pattern;
    for (const auto part : split(tensorName)) {
        pattern.append(isNumber(part) ? "*" : part);
        pattern.push_back('.');
    }
    pattern.pop_back();
    return pattern;
}

TensorPatterns::TensorPatterns(const ModelCatalog& model)
    : m_model(model)
{
    std::vector<std::string> families;
    std::vector<std::string_view> samples;
    std::vector<char> irregular;
    std::vector<std::size_t> familyOf(model.tensors.size());
    std::unordered_map<std::string, std::size_t> familyIds;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        auto family = familyPattern(model.tensors[i].name);
        const auto [entry, added] = familyIds.try_emplace(family, families.size());
        familyOf[i] = entry->second;
        if (added) {
            families.push_back(std::move(family));
            samples.emplace_back(model.tensors[i].name);
            irregular.push_back(0);
        }
    }
    const auto crossing = crossingFamilies(families, samples);

    std::unordered_map<std::uint64_t, std::size_t> byKey;
    std::unordered_map<std::string_view, std::size_t> byBlock;
    std::vector<std::size_t> patternFamily;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const std::string_view name = model.tensors[i].name;
        std::array<std::uint64_t, kMaxNumbers> numbers {};
        std::size_t count = 0;
        bool regular = familyOf[i] < 0xffff;
        for (const auto part : split(name)) {
            if (!isNumber(part))
                continue;
            if (count == 0) {  // "model.layers.3.", for the whole block
                const auto prefix = name.substr(0, std::size_t(part.data() - name.data()) + part.size());
                const auto [entry, added] = byBlock.try_emplace(prefix, m_patterns.size());
                if (added) {
                    m_patterns.emplace_back().wholeBlock = true;
                    patternFamily.push_back(familyOf[i]);
                }
                m_patterns[entry->second].members.push_back(static_cast<std::uint32_t>(i));
            }
            const auto value = valueOf(part);
            regular = regular && value && count < kMaxNumbers;
            if (regular)
                numbers[count] = value.value_or(0);
            ++count;
        }
        if (!regular)
            irregular[familyOf[i]] = 1;  // found by no key, but reached by its family's globs
        for (unsigned mask = 1; regular && mask < (1U << count); ++mask)
            for (const bool decade : {false, true}) {
                if (decade && !(mask & 1U))
                    continue;
                Pattern pattern;
                std::uint64_t key = familyOf[i];
                for (std::size_t n = 0; n < kMaxNumbers; ++n) {
                    const bool star = n < count && (mask & (1U << n));
                    pattern.slots[n] = !star ? Slot::Literal : n == 0 && decade ? Slot::Decade : Slot::Star;
                    const auto part = pattern.slots[n] == Slot::Literal ? numbers[n]
                        : pattern.slots[n] == Slot::Star                ? kStar
                                                                        : kDecade | (numbers[n] / 10);
                    key = key << 16 | part;
                }
                const auto [entry, added] = byKey.try_emplace(key, m_patterns.size());
                if (added) {
                    m_patterns.push_back(std::move(pattern));
                    patternFamily.push_back(familyOf[i]);
                }
                m_patterns[entry->second].members.push_back(static_cast<std::uint32_t>(i));
            }
    }
    for (std::size_t i = 0; i < m_patterns.size(); ++i)
        m_patterns[i].crossing =
            !m_patterns[i].wholeBlock && (crossing[patternFamily[i]] || irregular[patternFamily[i]]);
}

std::string TensorPatterns::textOf(const Pattern& pattern) const
{
    std::string text;
    std::size_t number = 0;
    for (const auto part : split(m_model.tensors[pattern.members.front()].name)) {
        if (!isNumber(part)) {
            text.append(part);
        } else if (pattern.wholeBlock) {
            return text.append(part).append(".*");
        } else {
            const auto slot = pattern.slots[number++];
            if (slot == Slot::Decade)  // "?" for 0–9, "1?" for 10–19
                text.append(part.substr(0, part.size() - 1)).append("?");
            else
                text.append(slot == Slot::Star ? "*" : part);
        }
        text.push_back('.');
    }
    text.pop_back();
    return text;
}

std::vector<std::string> TensorPatterns::cover(
    const std::vector<char>& wanted, const std::vector<char>& forbidden) const
{
    // Uncovered members, then fewer question marks, then the earlier pattern: the result never depends on chance.
    using Candidate = std::tuple<std::size_t, bool, std::ptrdiff_t>;
    std::priority_queue<Candidate> queue;
    const auto isPlain = [](const Pattern& pattern) { return pattern.slots[0] != Slot::Decade; };
    for (std::size_t i = 0; i < m_patterns.size(); ++i) {
        const auto& members = m_patterns[i].members;
        if (std::any_of(members.begin(), members.end(), [&](auto member) { return forbidden[member] != 0; }))
            continue;
        const auto count =
            std::count_if(members.begin(), members.end(), [&](auto member) { return wanted[member] != 0; });
        if (count > 1)
            queue.emplace(std::size_t(count), isPlain(m_patterns[i]), -std::ptrdiff_t(i));
    }

    // Greedy set cover. Counts only shrink, so a candidate is recounted when it comes up.
    std::vector<char> covered(m_model.tensors.size(), 0);
    std::vector<std::string> globs;
    while (!queue.empty()) {
        const auto [count, plain, negative] = queue.top();
        queue.pop();
        const auto& pattern = m_patterns[std::size_t(-negative)];
        const auto left = std::size_t(std::count_if(pattern.members.begin(), pattern.members.end(),
            [&](auto member) { return wanted[member] && !covered[member]; }));
        if (left < 2)
            continue;
        if (left < count) {
            queue.emplace(left, plain, negative);
            continue;
        }
        auto text = textOf(pattern);
        bool clean = true;
        for (std::size_t i = 0; pattern.crossing && clean && i < m_model.tensors.size(); ++i)
            clean = !forbidden[i] || !globMatches(text, m_model.tensors[i].name);
        if (!clean)
            continue;
        for (const auto member : pattern.members)
            covered[member] = 1;
        globs.push_back(std::move(text));
    }
    for (std::size_t i = 0; i < m_model.tensors.size(); ++i)
        if (wanted[i] && !covered[i])
            globs.push_back(m_model.tensors[i].name);
    return globs;
}

}  // namespace quantloupe
