// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <string>
#include <string_view>

namespace quantloupe::read_hdf5 {

/// Thrown where the file cannot be read on, caught in main(), which says so: this program does one thing and ends, so
/// that an exception is the shorter way out. A plain value: to look at the type of an object, the sanitizers would need
/// calls that a confined process is refused.
struct Refusal {
    ErrorCode code;
    std::string reason;
};

/// The object named in quotes, then `what`.
Refusal refusal(ErrorCode code, std::string_view kind, std::string_view path, std::string_view what);

/// The library could not do something with an object: what it gave as the cause is appended.
Refusal libraryRefusal(std::string_view what);

}  // namespace quantloupe::read_hdf5
