// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/refusal.h"

#include <hdf5.h>

namespace quantloupe::read_hdf5 {
namespace {

/// The first entry of a walk upward is where it went wrong; the others only pass it on.
herr_t takeCause(unsigned place, const H5E_error2_t* entry, void* cause)
{
    if (place == 0 && entry->desc != nullptr)
        *static_cast<std::string*>(cause) = entry->desc;
    return 0;
}

}  // namespace

Refusal refusal(ErrorCode code, std::string_view kind, std::string_view path, std::string_view what)
{
    constexpr std::size_t kShown = 120;
    const auto shown = path.size() <= kShown ? std::string(path) : std::string(path.substr(0, kShown)) + "…";
    return {code, std::string(kind) + " '" + shown + "' " + std::string(what)};
}

Refusal libraryRefusal(std::string_view what)
{
    std::string cause;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, takeCause, &cause);
    const bool cut = cause.find("truncated") != std::string::npos;
    return {cut ? ErrorCode::Truncated : ErrorCode::Malformed,
        std::string(what) + (cause.empty() ? "" : " (HDF5: " + cause + ")")};
}

}  // namespace quantloupe::read_hdf5
