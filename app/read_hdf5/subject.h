// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/read_hdf5/refusal.h"

#include <string>
#include <string_view>

namespace quantloupe::read_hdf5 {

/// What a check is about, for its message.
struct Subject {
    const char* kind;
    const std::string& path;

    [[noreturn]] void damaged(std::string_view what) const { throw refusal(ErrorCode::Malformed, kind, path, what); }
    /// The library says why.
    [[noreturn]] void unreadable(std::string_view what) const
    {
        throw libraryRefusal(std::string(kind) + " '" + path + "' " + std::string(what));
    }
};

}  // namespace quantloupe::read_hdf5
