// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <limits>

namespace quantloupe {

/// The figure that does not exist, as the mean of nothing. Shown as a dash, written as null.
inline constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();

}  // namespace quantloupe
