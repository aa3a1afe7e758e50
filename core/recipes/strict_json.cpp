// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/recipes/strict_json.h"

#include "core/base/json_events.h"

#include <algorithm>
#include <vector>

namespace quantloupe {
namespace {

using nlohmann::json;

json valueOf(const JsonEvent& event)
{
    switch (event.kind) {
    case JsonEvent::Kind::BeginObject: return json::object();
    case JsonEvent::Kind::BeginArray: return json::array();
    case JsonEvent::Kind::Text: return std::string(event.text);
    case JsonEvent::Kind::Unsigned: return event.number;
    case JsonEvent::Kind::Negative: return -1;  // no document of ours has negative integers: only the sign matters
    case JsonEvent::Kind::Real: return event.real;
    case JsonEvent::Kind::Boolean: return event.number != 0;
    default: return nullptr;
    }
}

}  // namespace

Result<nlohmann::json> parseStrictJson(std::string_view text, const std::string& where)
{
    json document;
    std::vector<json*> open;  // children of an open container do not move: only the innermost one grows
    const auto build = [&](const JsonEvent& event) -> Result<void> {
        const auto kind = event.kind;
        if (kind == JsonEvent::Kind::EndObject || kind == JsonEvent::Kind::EndArray) {
            open.pop_back();
            return {};
        }
        json* placed = &document;
        if (open.empty()) {
            document = valueOf(event);
        } else if (open.back()->is_array()) {
            open.back()->push_back(valueOf(event));
            placed = &open.back()->back();
        } else {
            placed = &((*open.back())[event.path.back()] = valueOf(event));
        }
        if (kind == JsonEvent::Kind::BeginObject || kind == JsonEvent::Kind::BeginArray)
            open.push_back(placed);
        return {};
    };
    if (auto read = readJson(text, where, 0, build); !read)
        return tl::unexpected<Error>(std::move(read.error()));
    return document;
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
    StrictObject object(value, std::move(path), std::move(where));
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
