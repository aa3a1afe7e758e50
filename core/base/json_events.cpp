// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/json_events.h"

#include "core/base/hash.h"
#include "core/base/text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxText = 100'000'000;
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxKeys = 1'000'001;  // a million tensors and the metadata

/// Receives nlohmann's SAX calls, which say what was read but not where: the place is found by following the text.
class EventReader
{
public:
    EventReader(std::string_view text, const std::string& where, std::uint64_t base, const JsonVisitor& visit)
        : m_text(text)
        , m_where(where)
        , m_base(base)
        , m_visit(visit)
    {
        m_keys.reserve(kMaxDepth);
        m_path.reserve(kMaxDepth);
    }

    bool null() { return word(JsonEvent::Kind::Null, 4); }
    bool boolean(bool value) { return word(JsonEvent::Kind::Boolean, value ? 4 : 5, value ? 1 : 0); }
    bool number_integer(std::int64_t) { return number({.kind = JsonEvent::Kind::Negative}); }
    bool number_unsigned(std::uint64_t value) { return number({.kind = JsonEvent::Kind::Unsigned, .number = value}); }
    bool number_float(double value, const std::string&)
    {
        return number({.kind = JsonEvent::Kind::Real, .real = value});
    }

    bool string(const std::string& value)
    {
        const auto start = beginToken();
        skipString();
        return emit({.kind = JsonEvent::Kind::Text, .text = value, .offset = start});
    }

    bool key(const std::string& name)
    {
        m_keyOffset = beginToken();
        skipString();
        if (name.find('\0') != std::string::npos)
            return refuse("a key holds a NUL character", m_keyOffset);
        auto& keys = m_keys[m_path.size() - 1];
        if (keys.size() == kMaxKeys)
            return refuse("more than a million keys in one object", m_keyOffset);
        // 64-bit hashes instead of the keys themselves: sixteen bytes each, and no order of keys makes checking slow.
        keys.push_back({checksum64(std::as_bytes(std::span(name))), m_keyOffset});
        m_path.back() = name;
        return true;
    }

    bool start_object(std::size_t) { return open(JsonEvent::Kind::BeginObject); }
    bool start_array(std::size_t) { return open(JsonEvent::Kind::BeginArray); }
    bool end_array() { return close(JsonEvent::Kind::EndArray); }

    bool end_object()
    {
        auto& keys = m_keys[m_path.size() - 1];
        std::sort(keys.begin(), keys.end());
        const auto same = [](const Key& a, const Key& b) { return a.hash == b.hash; };
        if (const auto twin = std::adjacent_find(keys.begin(), keys.end(), same); twin != keys.end()) {
            const auto offset = std::next(twin)->offset;
            return refuse("the key " + keyAt(offset) + " occurs twice", offset);
        }
        keys.clear();
        return close(JsonEvent::Kind::EndObject);
    }

    bool binary(const nlohmann::json::binary_t&) { return false; }  // occurs in CBOR and the like only

    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& exception)
    {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error …": our offset says the
        // place.
        std::string_view message = exception.what();
        if (const auto colon = message.find(": "); colon != std::string_view::npos)
            message.remove_prefix(colon + 2);
        m_error = {ErrorCode::Malformed, m_where, m_base + (position > 0 ? position - 1 : 0),
            "not valid JSON: " + shortened(message, 200)};
        return false;
    }

    Result<void> outcome(bool finished)
    {
        if (finished)
            return {};
        return tl::unexpected(std::move(m_error));
    }

private:
    struct Key {
        std::uint64_t hash;
        std::uint64_t offset;
        auto operator<=>(const Key&) const = default;
    };

    /// Moves to the next token and gives its place in the file.
    std::uint64_t beginToken()
    {
        m_position = std::min(m_text.find_first_not_of(" \t\r\n,:", m_position), m_text.size());
        return m_base + m_position;
    }

    void skipString()
    {
        ++m_position;
        while (m_position < m_text.size() && m_text[m_position] != '"')
            m_position += m_text[m_position] == '\\' ? 2 : 1;
        ++m_position;
    }

    std::string keyAt(std::uint64_t offset)
    {
        m_position = static_cast<std::size_t>(offset - m_base);
        const auto start = std::min(m_position + 1, m_text.size());
        skipString();
        const auto end = std::min(m_position - 1, m_text.size());
        return inQuotes(m_text.substr(start, std::max(start, end) - start));
    }

    bool refuse(std::string reason, std::uint64_t offset)
    {
        m_error = {ErrorCode::Malformed, m_where, offset, std::move(reason)};
        return false;
    }

    bool emit(JsonEvent event)
    {
        event.path = m_path;
        event.keyOffset = m_keyOffset;
        if (auto result = m_visit(event); !result) {
            m_error = std::move(result.error());
            return false;
        }
        return true;
    }

    bool word(JsonEvent::Kind kind, std::size_t length, std::uint64_t value = 0)
    {
        const auto start = beginToken();
        m_position += length;
        return emit({.kind = kind, .number = value, .offset = start});
    }

    bool number(JsonEvent event)
    {
        event.offset = beginToken();
        m_position = std::min(m_text.find_first_not_of("+-.0123456789Ee", m_position), m_text.size());
        return emit(event);
    }

    bool open(JsonEvent::Kind kind)
    {
        const auto start = beginToken();
        ++m_position;
        if (m_path.size() == kMaxDepth)
            return refuse("nested deeper than " + std::to_string(kMaxDepth) + " levels", start);
        if (!emit({.kind = kind, .offset = start}))
            return false;
        m_path.emplace_back();
        if (m_keys.size() < m_path.size())
            m_keys.emplace_back();
        return true;
    }

    bool close(JsonEvent::Kind kind)
    {
        const auto start = beginToken();
        ++m_position;
        m_path.pop_back();
        return emit({.kind = kind, .offset = start});
    }

    std::string_view m_text;
    const std::string& m_where;
    std::uint64_t m_base;
    const JsonVisitor& m_visit;
    std::size_t m_position = 0;
    std::uint64_t m_keyOffset = 0;
    std::vector<std::string> m_path;
    std::vector<std::vector<Key>> m_keys;  ///< of the open objects, by depth
    Error m_error;
};

}  // namespace

Result<void> readJson(std::string_view text, const std::string& where, std::uint64_t base, const JsonVisitor& visit)
{
    if (text.size() > kMaxText)
        return failure(ErrorCode::Malformed, where,
            "JSON text of " + std::to_string(text.size()) + " bytes, more than the 100 MB allowed", base);
    if (text.starts_with("\xEF\xBB\xBF")) {  // the parser skips a byte order mark; our count of bytes must, too
        text.remove_prefix(3);
        base += 3;
    }
    EventReader reader(text, where, base, visit);
    const bool finished = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    return reader.outcome(finished);
}

}  // namespace quantloupe
