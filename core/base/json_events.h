// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace quantloupe {

/// One step through a JSON document, in document order.
struct JsonEvent {
    enum class Kind : std::uint8_t {
        BeginObject,
        EndObject,
        BeginArray,
        EndArray,
        Text,      ///< `text`
        Unsigned,  ///< `number`: written without sign, fraction and exponent, below 2⁶⁴
        Negative,  ///< an integer with a minus sign
        Real,      ///< `real`: written with a fraction or an exponent, or an integer beyond 64 bits
        Boolean,   ///< `number`: 0 or 1
        Null,
    };
    Kind kind = Kind::Null;
    /// Keys from the root down to this value. Elements of an array have an empty last component.
    std::span<const std::string> path {};
    std::string_view text {};
    std::uint64_t number = 0;
    double real = 0.0;
    std::uint64_t offset = 0;     ///< first byte of the value, from the start of the file
    std::uint64_t keyOffset = 0;  ///< the quote that opens the innermost key read last, likewise
};

/// Returns a failure to stop reading.
using JsonVisitor = std::function<Result<void>(const JsonEvent&)>;

/// Reads one document without building a tree: memory stays in proportion to the largest object's number of keys.
/// Meant for files of unknown origin. Refuses, with the byte: text that is not JSON or not UTF-8, text above 100 MB,
/// nesting deeper than 64, more than a million keys in one object, keys that occur twice or hold a NUL.
/// `where` names the file, `base` is the file offset of the first character.
Result<void> readJson(std::string_view text, const std::string& where, std::uint64_t base, const JsonVisitor& visit);

}  // namespace quantloupe
