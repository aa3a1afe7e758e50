// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/vocabulary.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe {

/// A byte-level vocabulary that was learned from a text.
struct LearnedBpe {
    std::vector<std::string> pieces {};                  ///< the 256 bytes, then what each merge makes
    std::vector<std::pair<TokenId, TokenId>> merges {};  ///< in the order in which they were learned
};

/// Learns merges until there are `pieces` pieces, or no pair occurs twice: each joins the pair that is most frequent
/// within words, of equals the one with the smallest ids. Words are those of GPT-2's pattern.
/// Source: Sennrich, Haddow & Birch, "Neural machine translation of rare words with subword units" (2016).
/// @pre `text` is well-formed UTF-8
LearnedBpe learnBpe(std::string_view text, std::size_t pieces);

/// The same as Hugging Face's tokenizer.json. `first`: text of a special token that comes last in the vocabulary and is
/// put before every text.
std::string tokenizerJson(const LearnedBpe& learned, std::string_view first);

}  // namespace quantloupe
