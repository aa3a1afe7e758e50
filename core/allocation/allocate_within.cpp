// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"
#include "core/allocation/limited_classes.h"

#include <cstdio>
#include <string>

namespace quantloupe {
namespace {

std::string shortText(double value)
{
    char text[32] = {};
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

tl::unexpected<Error> impossible(const Frontier& frontier, const LimitedClasses& limited, const AllocationLimit& limit)
{
    std::string least;
    switch (limit.kind) {
    case AllocationLimit::Kind::TotalBytes: {
        const auto& smallest = frontier.points.front();
        least = "the smallest the measured schemes make of the model is " + std::to_string(smallest.bytes) + " bytes, "
            + shortText(smallest.bitsPerWeight) + " bits per weight";
        break;
    }
    case AllocationLimit::Kind::TotalError:
        least = "the least " + std::string(nameOf(frontier.metric)) + " of the measured schemes is "
            + shortText(frontier.points.back().error);
        break;
    case AllocationLimit::Kind::TotalCost:
        least = "the least that the measured schemes take is " + shortText(rangeOf(limited).least) + " " + limit.unit;
        break;
    }
    return failure(ErrorCode::InvalidArgument, "budget", std::move(least));
}

}  // namespace

FrontierPoint predictedOf(
    const Frontier& frontier, const StudySnapshot& study, const std::vector<std::uint32_t>& choice)
{
    FrontierPoint point {.bytes = frontier.points.front().bytes};
    for (std::size_t i = 0; i < choice.size(); ++i) {
        const auto& options = frontier.groups[i].options;
        point.bytes += options[choice[i]].bytes - options.front().bytes;
        point.error += options[choice[i]].error;
    }
    point.bitsPerWeight = static_cast<double>(point.bytes) * 8.0 / static_cast<double>(study.model.parameters());
    return point;
}

Result<Allocation> allocateWithin(
    const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit, std::size_t mostStates)
{
    const auto limited = limitedClasses(frontier, study, limit);
    auto solution = solveKnapsack(limited.classes, limited.room, mostStates);
    if (!solution)
        return impossible(frontier, limited, limit);
    Allocation allocation {.choice = std::move(solution->choice), .point = {}};
    allocation.point = predictedOf(frontier, study, allocation.choice);
    if (limit.kind == AllocationLimit::Kind::TotalCost)
        allocation.cost = limited.undecided + solution->weight;
    const bool countsBytes = limit.kind == AllocationLimit::Kind::TotalError;
    allocation.bound = solution->bound + (countsBytes ? limited.undecidedBytes : 0.0);
    allocation.optimal = solution->optimal;
    return allocation;
}

}  // namespace quantloupe
