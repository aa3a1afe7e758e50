// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/byte_cursor.h"
#include "core/base/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// Types of GGUF metadata values, by their numbers in the file. Source: interop notes, section 3.2.
enum class GgufType : std::uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64 };

/// A metadata value where it lies in the file; arrays are not copied.
struct GgufValue {
    GgufType type = GgufType::U8;
    GgufType elementType = GgufType::U8;  ///< Array only
    std::uint64_t count = 0;              ///< Array only
    Bytes bytes;                          ///< of the value; Text: without its length; Array: of the elements
    std::uint64_t offset = 0;             ///< of `bytes` in the file
};

/// Reads type and value at the cursor. Errors: Truncated, Malformed (unknown type, nested array, bool other than 0 and
/// 1, text above 64 MiB, more than 64 Mi elements). `key` is named in messages.
Result<GgufValue> readGgufValue(ByteCursor& cursor, const std::string& where, std::string_view key);

/// The value as a whole number, whatever integer type the writer chose; nullopt for others and for negative ones.
std::optional<std::uint64_t> wholeNumber(const GgufValue& value);

/// The value as a number, whatever numeric type the writer chose; nullopt for others.
std::optional<double> realNumber(const GgufValue& value);

/// The largest whole number of an array, or the number itself: figures that may differ between blocks.
std::optional<std::uint64_t> largestNumber(const GgufValue& value);

std::optional<std::string_view> textOf(const GgufValue& value);

/// For display: "32", "true", "llama", "text[32000]: <unk>, <s>, …".
std::string displayed(const GgufValue& value);

}  // namespace quantloupe
