// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/learn_bpe.h"

#include "core/tokenizers/byte_alphabet.h"
#include "core/tokenizers/word_pattern.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>

namespace quantloupe {
namespace {

using Pair = std::pair<TokenId, TokenId>;

struct CountedWord {
    std::vector<TokenId> symbols;
    std::uint64_t count = 0;
};

std::vector<CountedWord> countWords(std::string_view text)
{
    const auto& pattern = *wordPatternsOfGgufName("gpt-2").front();
    std::map<std::string_view, std::uint64_t> counts;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = pattern.matchAt(text, at);
        ++counts[text.substr(at, end - at)];
        at = end;
    }
    std::vector<CountedWord> words;
    for (const auto& [word, count] : counts) {
        auto& counted = words.emplace_back();
        counted.count = count;
        for (const char byte : word)
            counted.symbols.push_back(static_cast<unsigned char>(byte));
    }
    return words;
}

/// Null where no pair occurs twice.
std::optional<Pair> mostFrequentPair(const std::vector<CountedWord>& words)
{
    std::map<Pair, std::uint64_t> counts;
    for (const auto& word : words)
        for (std::size_t i = 1; i < word.symbols.size(); ++i)
            counts[{word.symbols[i - 1], word.symbols[i]}] += word.count;
    // The first of equals, which is the smallest.
    const auto most = std::max_element(
        counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == counts.end() || most->second < 2 ? std::nullopt : std::optional(most->first);
}

void merge(std::vector<TokenId>& symbols, const Pair& pair, TokenId merged)
{
    std::size_t kept = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        const bool joins = symbols[i] == pair.first && i + 1 < symbols.size() && symbols[i + 1] == pair.second;
        symbols[kept++] = joins ? merged : symbols[i];
        i += joins ? 1 : 0;
    }
    symbols.resize(kept);
}

}  // namespace

LearnedBpe learnBpe(std::string_view text, std::size_t pieces)
{
    LearnedBpe learned;
    for (int byte = 0; byte < 256; ++byte)
        learned.pieces.emplace_back(1, static_cast<char>(byte));
    auto words = countWords(text);
    while (learned.pieces.size() < pieces) {
        const auto pair = mostFrequentPair(words);
        if (!pair)
            break;
        const auto merged = static_cast<TokenId>(learned.pieces.size());
        learned.merges.push_back(*pair);
        learned.pieces.push_back(learned.pieces[pair->first] + learned.pieces[pair->second]);
        for (auto& word : words)
            merge(word.symbols, *pair, merged);
    }
    return learned;
}

std::string tokenizerJson(const LearnedBpe& learned, std::string_view first)
{
    using Json = nlohmann::ordered_json;
    const auto id = learned.pieces.size();
    auto vocabulary = Json::object(), merges = Json::array();
    for (std::size_t i = 0; i < id; ++i)
        vocabulary[alphabetOfBytes(learned.pieces[i])] = i;
    for (const auto& [left, right] : learned.merges)
        merges.push_back(alphabetOfBytes(learned.pieces[left]) + " " + alphabetOfBytes(learned.pieces[right]));
    const auto special = [&](int type) { return Json {{"SpecialToken", {{"id", first}, {"type_id", type}}}}; };
    const auto sequence = [](const char* name, int type) {
        return Json {{"Sequence", {{"id", name}, {"type_id", type}}}};
    };
    const Json byteLevel {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
    const Json document {
        {"version", "1.0"},
        {"truncation", nullptr},
        {"padding", nullptr},
        {"added_tokens",
            Json::array({{{"id", id}, {"content", first}, {"single_word", false}, {"lstrip", false}, {"rstrip", false},
                {"normalized", false}, {"special", true}}})},
        {"normalizer", nullptr},
        {"pre_tokenizer", byteLevel},
        {"post_processor",
            {{"type", "TemplateProcessing"}, {"single", Json::array({special(0), sequence("A", 0)})},
                {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
                {"special_tokens",
                    Json {{std::string(first),
                        {{"id", first}, {"ids", Json::array({id})}, {"tokens", Json::array({first})}}}}}}},
        {"decoder", byteLevel},
        {"model",
            {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false},
                {"ignore_merges", false}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}}},
    };
    return document.dump(1) + "\n";
}

}  // namespace quantloupe
