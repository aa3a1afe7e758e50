// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/word_pattern.h"

#include "core/tokenizers/word_rules.h"

#include <algorithm>
#include <array>

namespace quantloupe {
namespace {

using word_rules::Contraction;
using word_rules::Letters;
using word_rules::matchNumbers;
using word_rules::matchRules;
using word_rules::Rules;

constexpr WordPattern kGpt2 {"gpt-2",
    matchRules<Rules {.contraction = Contraction::AsWritten, .letters = Letters::AfterSpace, .digits = 0}>, true};
constexpr WordPattern kLlama3 {"llama-3",
    matchRules<Rules {
        .contraction = Contraction::AnyCase, .letters = Letters::AfterAnything, .digits = 3, .lineBreaksTail = true}>,
    true};
constexpr WordPattern kQwen2 {"qwen-2",
    matchRules<Rules {
        .contraction = Contraction::AnyCase, .letters = Letters::AfterAnything, .digits = 1, .lineBreaksTail = true}>,
    true};
constexpr WordPattern kQwen35 {"qwen-3.5",
    matchRules<Rules {
        .contraction = Contraction::AnyCase, .letters = Letters::MarksToo, .digits = 1, .lineBreaksTail = true}>,
    true};
constexpr WordPattern kGpt4o {"gpt-4o",
    matchRules<Rules {.contraction = Contraction::AnyCaseSuffix,
        .letters = Letters::UpperThenLower,
        .digits = 3,
        .lineBreaksTail = true,
        .slashTail = true}>,
    true};
constexpr WordPattern kTekken {"tekken",
    matchRules<Rules {.contraction = Contraction::None,
        .letters = Letters::UpperThenLower,
        .digits = 1,
        .lineBreaksTail = true,
        .slashTail = true}>,
    true};
constexpr WordPattern kOneNumber {"one digit", matchNumbers<1>};
constexpr WordPattern kUpToThreeNumbers {"up to three digits", matchNumbers<3>};
constexpr WordPattern kNumbers {"digits", matchNumbers<0>};
constexpr WordPattern kThreeDigits {"three digits", word_rules::matchThreeDigits};
constexpr WordPattern kPunctuation {"punctuation", word_rules::matchPunctuation};

struct Spelling {
    std::string_view regex;
    const WordPattern* pattern;
};

// Possessive quantifiers (`?+`, `++`) and the `+` of a last `[\r\n]+` change no match: what they take cannot be wanted
// by what follows.
constexpr std::array kSpellings {
    Spelling {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", &kGpt2},
    Spelling {
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kLlama3},
    Spelling {
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
        &kLlama3},
    Spelling {
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kLlama3},
    Spelling {
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kQwen2},
    Spelling {
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
        &kQwen2},
    Spelling {
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kQwen35},
    Spelling {
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kGpt4o},
    Spelling {
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        &kTekken},
    Spelling {R"(\p{N})", &kOneNumber},
    Spelling {R"(\p{N}{1,3})", &kUpToThreeNumbers},
    Spelling {R"(\p{N}+)", &kNumbers},
    Spelling {R"([0-9][0-9][0-9])", &kThreeDigits},
};

constexpr std::array kGpt2Alone {&kGpt2};
constexpr std::array kLlama3Alone {&kLlama3};
constexpr std::array kQwen2Alone {&kQwen2};
constexpr std::array kQwen35Alone {&kQwen35};
constexpr std::array kGpt4oAlone {&kGpt4o};
constexpr std::array kTekkenAlone {&kTekken};
constexpr std::array kDigitsThenGpt2 {&kOneNumber, &kGpt2};
constexpr std::array kDefault {&kPunctuation, &kGpt2, &kNumbers, &kThreeDigits};

/// What llama.cpp does under a name of `tokenizer.ggml.pre` where the file does not say otherwise.
struct GgufName {
    std::string_view name;
    std::span<const WordPattern* const> patterns;
    bool ignoreMerges = false;
    bool addBos = false;
};
constexpr auto kGgufNames = std::to_array<GgufName>({
    {"default", kDefault},
    {"llama3", kLlama3Alone, true, true},
    {"llama-v3", kLlama3Alone, true, true},
    {"llama-bpe", kLlama3Alone, true, true},
    {"falcon3", kLlama3Alone, true, true},
    {"falcon-h1", kLlama3Alone, true, true},
    {"pixtral", kLlama3Alone, true, true},
    {"midm-2.0", kLlama3Alone, true, true},
    {"lfm2", kLlama3Alone, true, true},
    {"dbrx", kLlama3Alone},
    {"smaug-bpe", kLlama3Alone},
    {"chatglm-bpe", kLlama3Alone},
    {"glm4", kLlama3Alone},
    {"qwen2", kQwen2Alone},
    {"deepseek-r1-qwen", kQwen2Alone},
    {"stablelm2", kQwen2Alone},
    {"hunyuan", kQwen2Alone},
    {"megrez", kQwen2Alone},
    {"bailingmoe", kQwen2Alone},
    {"bailingmoe2", kQwen2Alone},
    {"llada-moe", kQwen2Alone},
    {"grok-2", kQwen2Alone},
    {"solar-open", kQwen2Alone},
    {"kormo", kQwen2Alone},
    {"qwen35", kQwen35Alone},
    {"gpt-2", kGpt2Alone},
    {"phi-2", kGpt2Alone},
    {"mpt", kGpt2Alone},
    {"olmo", kGpt2Alone},
    {"jais", kGpt2Alone},
    {"trillion", kGpt2Alone},
    {"gigachat", kGpt2Alone},
    {"exaone4", kGpt2Alone},
    {"a.x-4.0", kGpt2Alone},
    {"mellum", kGpt2Alone},
    {"starcoder", kDigitsThenGpt2},
    {"refact", kDigitsThenGpt2},
    {"command-r", kDigitsThenGpt2},
    {"smollm", kDigitsThenGpt2},
    {"codeshell", kDigitsThenGpt2},
    {"exaone", kDigitsThenGpt2},
    {"minerva-7b", kDigitsThenGpt2},
    {"gpt-4o", kGpt4oAlone},
    {"llama4", kGpt4oAlone},
    {"kanana2", kGpt4oAlone},
    {"minimax-m2", kGpt4oAlone},
    {"tekken", kTekkenAlone, true, true},
});

const GgufName* findGgufName(std::string_view name)
{
    const auto* found =
        std::find_if(kGgufNames.begin(), kGgufNames.end(), [name](const GgufName& row) { return row.name == name; });
    return found == kGgufNames.end() ? nullptr : found;
}

}  // namespace

const WordPattern* wordPatternOf(std::string_view regex)
{
    const auto* found =
        std::find_if(kSpellings.begin(), kSpellings.end(), [regex](const Spelling& row) { return row.regex == regex; });
    return found == kSpellings.end() ? nullptr : found->pattern;
}

std::span<const WordPattern* const> wordPatternsOfGgufName(std::string_view name)
{
    const auto* row = findGgufName(name);
    return row ? row->patterns : std::span<const WordPattern* const> {};
}

bool ggufNameIgnoresMerges(std::string_view name)
{
    const auto* row = findGgufName(name);
    return row && row->ignoreMerges;
}

bool ggufNameAddsBos(std::string_view name)
{
    const auto* row = findGgufName(name);
    return row && row->addBos;
}

}  // namespace quantloupe
