// SPDX-License-Identifier: GPL-3.0-or-later
// What happens to a text before it is cut into pieces: rewriting, then splitting into words.
#pragma once

#include "core/tokenizers/unicode_text.h"
#include "core/tokenizers/word_pattern.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// One rewriting of a stretch of text. An empty stretch stays empty.
struct RewriteStep {
    enum class Kind : std::uint8_t {
        Prepend,             ///< `to` in front
        PrependUnlessThere,  ///< `to` in front of a stretch that does not begin with it
        PrependAtStart,      ///< likewise, but only where the whole text begins
        Replace,             ///< every `from` becomes `to`
        NormalForm,
        CollapseSpaces,  ///< no spaces at either end, one where there were several
    };
    Kind kind = Kind::Replace;
    std::string from {}, to {};
    NormalForm form = NormalForm::Nfc;
};

/// `textStart`: the stretch begins where the whole text does.
std::string rewritten(std::string_view text, const std::vector<RewriteStep>& steps, bool textStart);

/// One splitting of a stretch of text.
struct SplitStep {
    enum class Kind : std::uint8_t {
        Pattern,          ///< matches and what lies between them become words
        LiteralIsolated,  ///< likewise with every `literal`
        LiteralBefore,    ///< a `literal` goes with what follows
        LiteralAfter,     ///< a `literal` goes with what precedes
        /// Before `literal` where no piece of the vocabulary could reach across: changes no result, but shorter words
        /// are cut faster and can be remembered.
        SafeBoundary,
    };
    Kind kind = Kind::Pattern;
    const WordPattern* pattern = nullptr;
    std::string literal {};
    std::vector<char32_t> unsafe {};  ///< SafeBoundary: sorted; characters that precede `literal` within a piece
};

using WordVisitor = std::function<void(std::string_view)>;

/// Calls `visit` for every word of `text` after all steps, in order; no word is empty.
void splitIntoWords(std::string_view text, const std::vector<SplitStep>& steps, const WordVisitor& visit);

}  // namespace quantloupe
