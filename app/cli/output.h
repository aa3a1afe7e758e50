// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/cli/session.h"
#include "app/cli/text_table.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace quantloupe::cli {

using Json = nlohmann::ordered_json;

/// Null for NaN and infinities, which JSON does not have.
Json number(double value);

/// The same for an index or figure that may be absent.
template<class T>
Json orNull(const std::optional<T>& value)
{
    return value ? Json(*value) : Json(nullptr);
}

/// What a command found out, in every form that can be asked for.
struct Findings {
    Json json;
    std::string text;      ///< for people
    TextTable table {{}};  ///< the main table, for CSV
};

/// Prints to standard output (JSON with --json, text otherwise) and writes --out, JSON or CSV by its suffix.
/// Errors: InvalidArgument (another suffix, or the file exists and --force is not given), CannotWrite.
Result<void> present(const Session& session, const Findings& findings);

/// Before long work: whether --out could be written at its end. `suffixes`: those allowed, empty for any.
Result<void> requireWritable(const Session& session, const std::vector<std::string>& suffixes);

/// Prints the text or the JSON alone; for commands that write --out themselves.
Result<void> print(const Session& session, const Json& json, const std::string& text);

}  // namespace quantloupe::cli
