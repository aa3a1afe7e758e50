// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <stdexcept>
#include <string>
#include <string_view>

namespace quantloupe::read_hdf5 {

/// Thrown where the file cannot be read on, caught in main(), which says so. This program does one thing and ends, so
/// that an exception is the shorter way out.
struct Refusal : std::runtime_error {
    Refusal(ErrorCode why, const std::string& reason)
        : std::runtime_error(reason)
        , code(why)
    {
    }
    ErrorCode code;
};

/// The object named in quotes, then `what`.
Refusal refusal(ErrorCode code, std::string_view kind, std::string_view path, std::string_view what);

/// The library could not do something with an object: what it gave as the cause is appended.
Refusal libraryRefusal(std::string_view what);

}  // namespace quantloupe::read_hdf5
