// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"
#include "core/allocation/knapsack.h"

#include <cmath>
#include <string>

namespace quantloupe {
namespace {

/// What all groups take whatever is chosen.
double undecidedBytes(const Frontier& frontier)
{
    double bytes = static_cast<double>(frontier.points.front().bytes);
    for (const auto& group : frontier.groups)
        bytes -= static_cast<double>(group.options.front().bytes);
    return bytes;
}

tl::unexpected<Error> impossible(const Frontier& frontier, const AllocationLimit& limit)
{
    const auto& least =
        limit.kind == AllocationLimit::Kind::TotalBytes ? frontier.points.front() : frontier.points.back();
    return failure(ErrorCode::InvalidArgument, "budget",
        limit.kind == AllocationLimit::Kind::TotalBytes
            ? "the smallest the measured schemes make of the model is " + std::to_string(least.bytes) + " bytes, "
                + std::to_string(least.bitsPerWeight).substr(0, 5) + " bits per weight"
            : "the least " + std::string(nameOf(frontier.metric)) + " of the measured schemes is "
                + std::to_string(least.error));
}

}  // namespace

Result<Allocation> allocateWithin(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit)
{
    constexpr double rounding = 1e-12;  // an error that was summed in another order is still within itself
    const bool byBytes = limit.kind == AllocationLimit::Kind::TotalBytes;
    const double undecided = undecidedBytes(frontier);
    std::vector<std::vector<KnapsackOption>> classes;
    for (const auto& group : frontier.groups) {
        auto& options = classes.emplace_back();
        for (const auto& option : group.options) {
            const auto bytes = static_cast<double>(option.bytes);
            options.push_back(byBytes ? KnapsackOption {bytes, option.error} : KnapsackOption {option.error, bytes});
        }
    }
    auto solution =
        solveKnapsack(classes, byBytes ? std::floor(limit.value) - undecided : limit.value * (1.0 + rounding));
    if (!solution)
        return impossible(frontier, limit);
    const double bytes = undecided + (byBytes ? solution->weight : solution->cost);
    Allocation allocation {.choice = std::move(solution->choice),
        .point = {.bytes = static_cast<std::uint64_t>(bytes),
            .bitsPerWeight = bytes * 8.0 / static_cast<double>(study.model.parameters()),
            .error = byBytes ? solution->cost : solution->weight},
        .bound = solution->bound + (byBytes ? 0.0 : undecided),
        .optimal = solution->optimal};
    return allocation;
}

}  // namespace quantloupe
