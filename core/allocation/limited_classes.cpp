// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/limited_classes.h"

#include <algorithm>
#include <cmath>

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

double undecidedCost(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit)
{
    std::vector<bool> decided(study.model.tensors.size(), false);
    for (const auto& group : frontier.groups)
        for (const auto tensor : group.tensors)
            decided[tensor] = true;
    double cost = limit.fixedCost;
    for (std::size_t i = 0; i < decided.size(); ++i)
        if (!decided[i])
            cost += limit.costOf(i, {});
    return cost;
}

KnapsackOption classOption(const AllocationGroup& group, const AllocationOption& option, const AllocationLimit& limit)
{
    const auto bytes = static_cast<double>(option.bytes);
    switch (limit.kind) {
    case AllocationLimit::Kind::TotalBytes: return {bytes, option.error};
    case AllocationLimit::Kind::TotalError: return {option.error, bytes};
    case AllocationLimit::Kind::TotalCost: break;
    }
    double cost = 0.0;
    for (const auto tensor : group.tensors)
        cost += limit.costOf(tensor, option.scheme);
    return {cost, option.error};
}

}  // namespace

LimitedClasses limitedClasses(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit)
{
    constexpr double rounding = 1e-12;  // a sum that was taken in another order is still within itself
    LimitedClasses limited {.undecidedBytes = undecidedBytes(frontier)};
    for (const auto& group : frontier.groups) {
        auto& options = limited.classes.emplace_back();
        for (const auto& option : group.options)
            options.push_back(classOption(group, option, limit));
    }
    switch (limit.kind) {
    case AllocationLimit::Kind::TotalBytes:
        limited.undecided = limited.undecidedBytes;
        limited.room = std::floor(limit.value) - limited.undecided;
        break;
    case AllocationLimit::Kind::TotalError: limited.room = limit.value * (1.0 + rounding); break;
    case AllocationLimit::Kind::TotalCost:
        limited.undecided = undecidedCost(frontier, study, limit);
        limited.room = limit.value * (1.0 + rounding) - limited.undecided;
        break;
    }
    return limited;
}

LimitRange rangeOf(const LimitedClasses& limited)
{
    LimitRange range {limited.undecided, limited.undecided};
    for (const auto& options : limited.classes) {
        const auto [least, most] = std::minmax_element(options.begin(), options.end(),
            [](const KnapsackOption& a, const KnapsackOption& b) { return a.weight < b.weight; });
        range.least += least->weight;
        range.most += most->weight;
    }
    return range;
}

}  // namespace quantloupe
