// SPDX-License-Identifier: GPL-3.0-or-later
// Words and figures that findings and cures share. For use inside this room.
#pragma once

#include <charconv>
#include <iterator>
#include <string>
#include <system_error>

namespace quantloupe {

/// Fixed notation that does not depend on the locale of the process.
inline std::string number(double value, int decimals)
{
    char text[64];
    const auto end = std::to_chars(std::begin(text), std::end(text), value, std::chars_format::fixed, decimals);
    return end.ec == std::errc {} ? std::string(text, end.ptr) : std::string("beyond measure");
}

/// "38 %", "3.8 %".
inline std::string percent(double share)
{
    return number(100.0 * share, share < 0.1 ? 1 : 0) + " %";
}

}  // namespace quantloupe
