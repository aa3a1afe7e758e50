// SPDX-License-Identifier: GPL-3.0-or-later
// What an allocation's recipe really does, and better ones near it.
#pragma once

#include "core/allocation/allocation.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace quantloupe {

/// The divergence of all groups together, quantized as chosen. Nats per token.
struct MeasuredError {
    double value = 0.0;
    double standardError = 0.0;  ///< 0: not known
    bool operator==(const MeasuredError&) const = default;
};

/// Measures the recipe that takes an option of each group.
using ChoiceMeasure = std::function<Result<MeasuredError>(const std::vector<std::uint32_t>& choice)>;

/// A choice with the sum that predicted its error, and what its error is.
struct TriedChoice {
    std::vector<std::uint32_t> choice {};  ///< option per group of the frontier
    FrontierPoint predicted {};
    MeasuredError measured {};
};

struct VerificationEffort {
    std::size_t evaluations = 32;  ///< recipes measured at most, the allocation's own among them; at least 1
    /// Goes on only where a limit of error is broken, or the sum is further off than `tolerance` and two standard
    /// errors, that is where layers' errors do more, or less, than add up; false: until the evaluations are spent.
    bool onlyWhereItMatters = true;
    double tolerance = 0.1;  ///< relative
};

struct VerifiedAllocation {
    std::vector<TriedChoice> tried {};  ///< in the order in which they were measured; the first is the allocation
    std::size_t best = 0;               ///< of `tried`: least error within the limit, or fewest bytes within the error
    bool met = true;                    ///< false: the limit is one of error, and no recipe that was tried keeps to it
};

/// Measures an allocation and, by local search, recipes near it. Under a limit of bytes or cost: one group takes a
/// larger option and another a smaller one, or all are chosen anew; what each measurement says beyond the sum corrects
/// the errors of the options that changed (Kaczmarz, 1937), and the corrected sum says what to try next. Under a limit
/// of error, which measured errors must keep to as well: allocations for smaller or larger sums, by regula falsi.
/// The same measurements give the same search. Errors: those of `measure`.
Result<VerifiedAllocation> verifyAllocation(const Frontier& frontier, const StudySnapshot& study,
    const AllocationLimit& limit, const Allocation& allocation, const VerificationEffort& effort,
    const ChoiceMeasure& measure);

}  // namespace quantloupe
