// SPDX-License-Identifier: GPL-3.0-or-later
// A frontier's groups and a limit as the classes of a knapsack.
#pragma once

#include "core/allocation/allocation.h"
#include "core/allocation/knapsack.h"

#include <vector>

namespace quantloupe {

/// Weights are what the limit is of; costs are errors, or bytes where the error is limited.
struct LimitedClasses {
    std::vector<std::vector<KnapsackOption>> classes {};  ///< one per group, options in their order
    double undecided = 0.0;                               ///< weight that no choice changes
    double undecidedBytes = 0.0;
    double room = 0.0;  ///< of the limit, for the groups
};

LimitedClasses limitedClasses(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit);

/// What the lightest and the heaviest choice take of what a limit is of, in its own units.
struct LimitRange {
    double least = 0.0, most = 0.0;
    bool operator==(const LimitRange&) const = default;
};
LimitRange rangeOf(const LimitedClasses& limited);

}  // namespace quantloupe
