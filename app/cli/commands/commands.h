// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "app/cli/session.h"

#include <span>

namespace quantloupe::cli {

/// Every command that is built, in the order of the help text.
std::span<const Command* const> allCommands();

}  // namespace quantloupe::cli
