// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace quantloupe {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 32;

/// Builds the document event by event. The library's own builder lets a repeated key replace the first one and
/// reports syntax errors by exceptions; this one stops at the first and keeps the byte offset of the second.
class DocumentBuilder
{
public:
    explicit DocumentBuilder(std::string where)
        : m_where(std::move(where))
    {
    }

    bool null() { return add(nullptr); }
    bool boolean(bool value) { return add(value); }
    bool number_integer(json::number_integer_t value) { return add(value); }
    bool number_unsigned(json::number_unsigned_t value) { return add(value); }
    bool number_float(json::number_float_t value, const json::string_t&) { return add(value); }
    bool string(json::string_t& value) { return add(std::move(value)); }
    bool binary(json::binary_t&) { return false; }  // never comes from JSON text

    bool start_object(std::size_t) { return open(json::object()); }
    bool end_object() { return close(); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_array() { return close(); }

    bool key(json::string_t& name)
    {
        if (m_open.back()->contains(name)) {
            m_error = Error {ErrorCode::InvalidArgument, m_where, std::nullopt, "key \"" + name + "\" appears twice"};
            return false;
        }
        m_key = std::move(name);
        return true;
    }

    bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception&)
    {
        // The parser counts bytes from one and points behind the token that it could not use.
        const auto offset = position > 0 ? position - 1 : 0;
        const auto shown = token.substr(0, 40);
        m_error = Error {ErrorCode::Malformed, m_where, offset,
            shown.empty() ? std::string("not valid JSON: unexpected end") : "not valid JSON near \"" + shown + "\""};
        return false;
    }

    Result<json> finish(bool complete)
    {
        if (m_error)
            return tl::unexpected<Error>(*m_error);
        if (!complete)
            return failure(ErrorCode::Malformed, m_where, "not valid JSON");
        return std::move(m_document);
    }

private:
    json* place(json value)
    {
        if (m_open.empty()) {
            m_document = std::move(value);
            return &m_document;
        }
        auto& parent = *m_open.back();
        if (parent.is_array()) {
            parent.push_back(std::move(value));
            return &parent.back();
        }
        return &(parent[m_key] = std::move(value));
    }

    bool add(json value)
    {
        place(std::move(value));
        return true;
    }

    bool open(json container)
    {
        if (m_open.size() >= kMaxDepth) {
            m_error = Error {ErrorCode::Malformed, m_where, std::nullopt, "JSON is nested deeper than 32 levels"};
            return false;
        }
        m_open.push_back(place(std::move(container)));
        return true;
    }

    bool close()
    {
        m_open.pop_back();
        return true;
    }

    std::string m_where;
    json m_document;
    std::vector<json*> m_open;  // children of an open container do not move: only the innermost one grows
    std::string m_key;
    std::optional<Error> m_error;
};

}  // namespace

Result<nlohmann::json> parseStrictJson(std::string_view text, const std::string& where)
{
    DocumentBuilder builder(where);
    const bool complete = json::sax_parse(text.begin(), text.end(), &builder);
    return builder.finish(complete);
}

std::string_view jsonTypeName(const nlohmann::json& value)
{
    switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::object: return "an object";
    case json::value_t::array: return "a list";
    case json::value_t::string: return "text";
    case json::value_t::boolean: return "true or false";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float: return "a number";
    default: return "something else";
    }
}

StrictObject::StrictObject(const nlohmann::json& value, std::string path, std::string where)
    : m_value(&value)
    , m_path(std::move(path))
    , m_where(std::move(where))
{
}

Result<StrictObject> StrictObject::of(
    const nlohmann::json& value, std::string path, std::string where, std::initializer_list<std::string_view> allowed)
{
    const StrictObject object(value, std::move(path), std::move(where));
    if (!value.is_object()) {
        const auto place = object.m_path.empty() ? std::string("the document") : object.m_path;
        return failure(ErrorCode::InvalidArgument, object.m_where,
            place + ": expected an object, found " + std::string(jsonTypeName(value)));
    }
    for (const auto& [key, ignored] : value.items())
        if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
            return failure(ErrorCode::InvalidArgument, object.m_where, "unknown key \"" + object.pathOf(key) + "\"");
    return object;
}

const nlohmann::json* StrictObject::find(std::string_view key) const
{
    const auto found = m_value->find(key);
    return found == m_value->end() || found->is_null() ? nullptr : &*found;
}

std::string StrictObject::pathOf(std::string_view key) const
{
    return m_path.empty() ? std::string(key) : m_path + "." + std::string(key);
}

tl::unexpected<Error> StrictObject::complain(std::string_view key, const std::string& what) const
{
    return failure(ErrorCode::InvalidArgument, m_where, pathOf(key) + ": " + what);
}

Result<std::string> StrictObject::text(std::string_view key) const
{
    const auto* value = find(key);
    if (!value)
        return complain(key, "missing");
    if (!value->is_string())
        return complain(key, "expected text, found " + std::string(jsonTypeName(*value)));
    return value->get<std::string>();
}

Result<std::string> StrictObject::textOr(std::string_view key, std::string fallback) const
{
    if (!find(key))
        return fallback;
    return text(key);
}

Result<double> StrictObject::number(std::string_view key) const
{
    const auto* value = find(key);
    if (!value)
        return complain(key, "missing");
    if (!value->is_number())
        return complain(key, "expected a number, found " + std::string(jsonTypeName(*value)));
    return value->get<double>();
}

Result<std::uint64_t> StrictObject::countOr(std::string_view key, std::uint64_t fallback) const
{
    const auto* value = find(key);
    if (!value)
        return fallback;
    if (!value->is_number_unsigned())
        return complain(key, "expected a whole number that is not negative");
    return value->get<std::uint64_t>();
}

Result<const nlohmann::json*> StrictObject::array(std::string_view key) const
{
    static const json kEmpty = json::array();
    const auto* value = find(key);
    if (!value)
        return &kEmpty;
    if (!value->is_array())
        return complain(key, "expected a list, found " + std::string(jsonTypeName(*value)));
    return value;
}

}  // namespace quantloupe
