// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/json_events.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe {

/// A value of a JSON document that knows its place in the file.
struct JsonNode {
    JsonEvent::Kind kind = JsonEvent::Kind::Null;  ///< BeginObject, BeginArray or that of a scalar
    std::string text {};
    std::uint64_t number = 0;  ///< Unsigned, Boolean
    std::uint64_t offset = 0;
    std::vector<std::pair<std::string, JsonNode>> members {};
    std::vector<JsonNode> items {};

    /// nullptr when absent or null.
    const JsonNode* find(std::string_view key) const;
    bool isText() const { return kind == JsonEvent::Kind::Text; }
    /// The text of a member; empty when it is absent or no text.
    std::string_view textOf(std::string_view key) const;
    bool flagOf(std::string_view key, bool fallback) const;
};

/// Puts a tree together from the events of readJson(); events that are of no interest may be left out as long as whole
/// values are. Errors: Malformed above 500,000 values.
class JsonTreeBuilder
{
public:
    Result<void> add(const JsonEvent& event, const std::string& where);
    const JsonNode& root() const { return m_root; }

private:
    JsonNode m_root {};
    std::vector<JsonNode*> m_open;  ///< from the root down
    std::size_t m_count = 0;
};

}  // namespace quantloupe
