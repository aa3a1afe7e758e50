// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/emission.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace quantloupe {
namespace {

constexpr std::size_t kListed = 3;

bool isNumber(std::string_view part)
{
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// A name cut at its first two numbers: piece 0, number 0, piece 1, number 1, piece 2.
struct CutName {
    std::vector<std::string> pieces;
    std::vector<std::string> numbers;
};

CutName cut(std::string_view name)
{
    CutName result;
    result.pieces.emplace_back();
    for (std::size_t begin = 0; begin <= name.size();) {
        const auto end = std::min(name.find('.', begin), name.size());
        const auto part = name.substr(begin, end - begin);
        if (begin > 0)
            result.pieces.back().push_back('.');
        if (isNumber(part) && result.numbers.size() < 2) {
            result.numbers.emplace_back(part);
            result.pieces.emplace_back();
        } else {
            result.pieces.back().append(part);
        }
        begin = end + 1;
    }
    return result;
}

std::string alternatives(const std::vector<std::string>& numbers)
{
    if (numbers.size() == 1)
        return numbers.front();
    std::string text("(");
    for (const auto& number : numbers)
        text.append(text.size() > 1 ? "|" : "").append(number);
    return text.append(")");
}

/// Names whose numbers form a full rectangle: every first number with every second.
struct Family {
    std::vector<std::string> pieces;
    std::vector<std::string> first, second;
};

}  // namespace

std::vector<std::size_t> emissionOrder(const ModelCatalog& model)
{
    const auto key = [&](std::size_t index) {
        const auto& tensor = model.tensors[index];
        const auto& parts = tensor.parts;
        const bool input = parts.role == TensorRole::Embedding || parts.role == TensorRole::Position;
        const int section = parts.block ? 1 : input ? 0 : 2;
        return std::make_tuple(
            section, parts.block.value_or(0), parts.role, parts.expert.value_or(0), std::string_view(tensor.name));
    };
    std::vector<std::size_t> order(model.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) { return key(left) < key(right); });
    return order;
}

std::string escapeRegex(std::string_view text)
{
    std::string escaped;
    for (const char c : text) {
        if (std::string_view(".+*?^$()[]{}|\\").find(c) != std::string_view::npos)
            escaped.push_back('\\');
        escaped.push_back(c);
    }
    return escaped;
}

std::vector<std::string> exactRegexes(const std::vector<std::string>& names)
{
    // Names alike but for the first number, in order of appearance.
    std::vector<Family> families;
    std::map<std::vector<std::string>, std::size_t> byShape;
    for (const auto& name : names) {
        auto parts = cut(name);
        auto shape = parts.pieces;
        if (parts.numbers.size() == 2)
            shape.push_back(parts.numbers[1]);
        const auto [entry, added] = byShape.try_emplace(std::move(shape), families.size());
        if (added) {
            auto& family = families.emplace_back();
            family.pieces = parts.pieces;
            if (parts.numbers.size() == 2)
                family.second.push_back(parts.numbers[1]);
        }
        if (!parts.numbers.empty())
            families[entry->second].first.push_back(parts.numbers[0]);
    }
    // Those of them alike but for the second number, with the same set of first numbers.
    std::vector<Family> rectangles;
    std::map<std::pair<std::vector<std::string>, std::vector<std::string>>, std::size_t> bySides;
    for (auto& family : families) {
        const auto [entry, added] = bySides.try_emplace(std::pair(family.pieces, family.first), rectangles.size());
        if (added)
            rectangles.push_back(std::move(family));
        else
            rectangles[entry->second].second.push_back(family.second.front());
    }
    std::vector<std::string> regexes;
    for (const auto& family : rectangles) {
        auto text = escapeRegex(family.pieces[0]);
        if (family.pieces.size() > 1)
            text += alternatives(family.first) + escapeRegex(family.pieces[1]);
        if (family.pieces.size() > 2)
            text += alternatives(family.second) + escapeRegex(family.pieces[2]);
        regexes.push_back(std::move(text));
    }
    return regexes;
}

std::string shellQuoted(std::string_view word)
{
    if (isPlainName(word) && !word.starts_with('-'))
        return std::string(word);
    std::string quoted("'");
    for (const char c : word) {
        if (c == '\'')
            quoted.append("'\\''");
        else
            quoted.push_back(c);
    }
    return quoted.append("'");
}

bool isPlainName(std::string_view name)
{
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
            || std::string_view("_./:-").find(c) != std::string_view::npos;
    });
}

std::string shortList(const std::vector<std::string>& names)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kListed); ++i)
        text.append(i > 0 ? ", " : "").append(names[i]);
    if (names.size() > kListed)
        text.append(" and ").append(std::to_string(names.size() - kListed)).append(" more");
    return text;
}

ExportedFile planFile(const Recipe& recipe)
{
    return {".plan.json", recipe.toJson()};
}

}  // namespace quantloupe
