// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tokenizers/prefix_index.h"
#include "core/tokenizers/vocabulary.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// A token that is looked for in the text as a whole, before anything is cut.
struct AddedToken {
    std::string content {};
    TokenId id = kNoToken;
    bool special = false;     ///< no part of the text: only looked for where the caller wants that
    bool singleWord = false;  ///< not inside a word
    bool takesLeftSpace = false, takesRightSpace = false;
    bool normalized = false;  ///< looked for in the rewritten text, `content` being rewritten likewise
};

/// Finds added tokens in texts: the leftmost first, of those that begin there the longest.
/// Source: Hugging Face tokenizers, added_vocabulary.
class AddedTokens
{
public:
    /// A stretch of text, or a token in its place.
    struct Part {
        std::string_view text {};
        TokenId id = kNoToken;  ///< kNoToken: plain text
    };
    using Visitor = std::function<void(const Part&)>;

    /// @pre fewer than 4 GiB of contents
    void add(AddedToken token) { m_tokens.push_back(std::move(token)); }
    void finish();

    const std::vector<AddedToken>& all() const { return m_tokens; }
    bool anyNormalized() const { return !m_normalized.empty(); }

    /// Visits the parts of `text` in order. `normalized` says which tokens are looked for; where `withSpecial` is
    /// false, special ones stay plain text.
    void split(std::string_view text, bool normalized, bool withSpecial, const Visitor& visit) const;

private:
    std::vector<AddedToken> m_tokens;
    PrefixIndex m_raw, m_normalized;  ///< indices into m_tokens
};

}  // namespace quantloupe
