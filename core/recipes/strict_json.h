// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace quantloupe {

/// One JSON document that people write by hand as a tree, with the checks of readJson(): a slip of the pen, such as a
/// repeated key, is never taken silently. `where` names the file in errors. Errors: Malformed with the byte offset.
Result<nlohmann::json> parseStrictJson(std::string_view text, const std::string& where);

/// One JSON object together with its place in the document, for reading members with errors that name the member:
/// "rules[2].scheme: expected text, found number". Errors: InvalidArgument. Borrows the value it reads.
class StrictObject
{
public:
    /// `path` is empty for the document itself. Errors name the first member that `allowed` does not list.
    static Result<StrictObject> of(const nlohmann::json& value, std::string path, std::string where,
        std::initializer_list<std::string_view> allowed);

    const nlohmann::json* find(std::string_view key) const;  ///< nullptr when absent or null
    std::string pathOf(std::string_view key) const;

    Result<std::string> text(std::string_view key) const;
    Result<std::string> textOr(std::string_view key, std::string fallback) const;
    Result<double> number(std::string_view key) const;
    Result<std::uint64_t> countOr(std::string_view key, std::uint64_t fallback) const;
    /// An array; absent counts as empty.
    Result<const nlohmann::json*> array(std::string_view key) const;

    /// An error about the member `key`.
    tl::unexpected<Error> complain(std::string_view key, const std::string& what) const;

private:
    StrictObject(const nlohmann::json& value, std::string path, std::string where);

    const nlohmann::json* m_value;
    std::string m_path;
    std::string m_where;
};

/// "text", "number", "object", … as error messages call the types.
std::string_view jsonTypeName(const nlohmann::json& value);

}  // namespace quantloupe
