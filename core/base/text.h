// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quantloupe {

/// Bytes before the first that is not well-formed UTF-8; all of them where none is.
std::size_t wellFormedLength(std::string_view text);

/// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool isValidUtf8(std::string_view text);

/// The same text with every malformed byte replaced by U+FFFD: safe to show and to write as JSON.
std::string toValidUtf8(std::string_view text);

/// At most `limit` bytes of toValidUtf8(text), cut between characters; "…" marks the cut.
std::string shortened(std::string_view text, std::size_t limit);

/// 'name' for messages: in single quotes, at most 120 bytes.
std::string inQuotes(std::string_view name);

}  // namespace quantloupe
