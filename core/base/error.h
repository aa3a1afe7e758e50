// SPDX-License-Identifier: GPL-3.0-or-later
// Expected failures as values. Core never prints, never translates, never shows a dialog.
#pragma once

#include <tl/expected.hpp>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// What went wrong, in terms a caller can branch on.
enum class ErrorCode : std::uint8_t {
    CannotOpen,       ///< the operating system refused to open or read; `reason` holds its message
    CannotWrite,      ///< the operating system refused to create, write or rename
    NotThisFormat,    ///< no reader recognises the content
    Truncated,        ///< something reaches past the end of the file
    Malformed,        ///< the file contradicts itself or its format
    Unsupported,      ///< valid, but outside what is built; `reason` names what
    InvalidArgument,  ///< a wish that cannot be met: a scheme, a recipe, an option
    Conflict,         ///< belongs to something else, e.g. a study of another model
    Cancelled,        ///< a stop was requested
    Internal,         ///< an exception reached a boundary: a bug
};

/// One expected failure: what, where (file and byte, or tensor) and why.
struct Error {
    ErrorCode code = ErrorCode::Internal;
    std::string where {};                    ///< file path, tensor name or option, UTF-8
    std::optional<std::uint64_t> offset {};  ///< bytes from the start of the file `where` names
    std::string reason {};                   ///< one English clause without a full stop

    bool operator==(const Error&) const = default;
};

/// A value or an Error, with the member names of C++23's std::expected.
template<class T>
using Result = tl::expected<T, Error>;

/// Shorthand for returning a failure from a function that returns Result<T>.
inline tl::unexpected<Error> failure(
    ErrorCode code, std::string where, std::string reason, std::optional<std::uint64_t> offset = std::nullopt)
{
    return tl::unexpected<Error>(Error {code, std::move(where), offset, std::move(reason)});
}

/// What the operating system says of `path`; `problem` is a number of errno.
tl::unexpected<Error> systemFailure(ErrorCode code, const std::filesystem::path& path, int problem = errno);

/// "model.safetensors, byte 8: header is not a JSON object". Control characters in names are escaped.
std::string describe(const Error& error);

}  // namespace quantloupe
