// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

namespace quantloupe {

/// Whether `name` as a whole matches `pattern`: `*` any run of characters (dots included), `?` any one byte,
/// all else literal. Linear in practice (two-pointer backtracking), never recursive.
bool globMatches(std::string_view pattern, std::string_view name);

}  // namespace quantloupe
