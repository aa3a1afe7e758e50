// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace quantloupe {

/// A regular expression that tokenizers split text with, written out by hand: expressions in files are looked up, never
/// run.
struct WordPattern {
    std::string_view name;  ///< "gpt-2", "llama-3", …
    /// End of the match that begins at byte `at`; `at` itself where none does. Looks no further than `text`, so that
    /// "not followed by" sees its end. @pre at < text.size(); `text` is well-formed UTF-8
    std::size_t (*matchAt)(std::string_view text, std::size_t at);
    bool coversAll = false;  ///< matches follow each other without gaps, whatever the text
};

/// The pattern of a regular expression as tokenizer.json spells it (Oniguruma's syntax); nullptr when it is none of
/// those known.
const WordPattern* wordPatternOf(std::string_view regex);

/// The patterns that a GGUF's `tokenizer.ggml.pre` stands for, to be applied one after the other; empty when the name
/// is not known. Source: llama.cpp, llama-vocab.cpp.
std::span<const WordPattern* const> wordPatternsOfGgufName(std::string_view name);

/// Whether llama.cpp takes whole words from the vocabulary before merging, and begins texts with BOS, under this name
/// where the file itself says nothing of it.
bool ggufNameIgnoresMerges(std::string_view name);
bool ggufNameAddsBos(std::string_view name);

}  // namespace quantloupe
