// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"

#include "core/study/signal_energy.h"
#include "core/base/glob.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace quantloupe {
namespace {

/// Error saved per byte spent, going from one option of a group to a larger one.
double slope(const AllocationOption& from, const AllocationOption& to)
{
    return (from.error - to.error) / static_cast<double>(to.bytes - from.bytes);
}

/// Tensors that are decided together, in file order of their first member.
std::vector<AllocationGroup> groupsOf(const ModelCatalog& model, const std::vector<std::string>& keep, Fused together)
{
    const auto tied = tiedHead(model);
    std::vector<AllocationGroup> groups;
    std::unordered_map<std::string_view, std::size_t> fused;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const bool kept = !tensor.quantizable || tied == i
            || std::any_of(keep.begin(), keep.end(),
                [&](const std::string& pattern) { return globMatches(pattern, tensor.name); });
        if (kept)
            continue;
        auto index = groups.size();
        if (together == Fused::Together && !tensor.parts.fusedGroup.empty())
            index = fused.try_emplace(tensor.parts.fusedGroup, index).first->second;
        if (index == groups.size())
            groups.emplace_back();
        groups[index].tensors.push_back(i);
    }
    return groups;
}

/// Sorts by size and drops every option that a smaller or equal one beats; those that larger options should have
/// beaten are told.
void removeDominated(
    std::vector<AllocationOption>& options, std::uint32_t group, std::vector<MonotonicityViolation>& violations)
{
    std::sort(options.begin(), options.end(), [](const AllocationOption& left, const AllocationOption& right) {
        return std::tie(left.bytes, left.error, left.scheme) < std::tie(right.bytes, right.error, right.scheme);
    });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < options.size(); ++i)
        if (kept == 0 || options[i].error < options[kept - 1].error) {
            if (kept != i)
                options[kept] = std::move(options[i]);
            ++kept;
        } else if (options[i].bytes > options[kept - 1].bytes && !options[i].scheme.empty()) {
            violations.push_back({group, options[kept - 1].scheme, options[i].scheme});
        }
    options.resize(kept);
}

/// What options are found from.
struct Measured {
    const StudySnapshot& study;
    const std::vector<std::string>& schemes;
    ErrorMetric metric;
    MetricContext context;
};

std::vector<AllocationOption> optionsOf(const AllocationGroup& group, const Measured& known)
{
    const auto& [study, schemes, metric, context] = known;
    struct Sum {
        AllocationOption option;
        std::size_t members = 0;
    };
    std::vector<Sum> sums(schemes.size() + 1);
    auto& stored = sums.back();  // no error, and always possible
    for (const auto index : group.tensors) {
        const auto& tensor = study.model.tensors[index];
        stored.option.bytes += tensor.bytes;
        ++stored.members;
        const auto& measured = study.of(tensor.name);
        for (std::size_t i = 0; i < schemes.size(); ++i) {
            const auto found = measured.find(schemes[i]);
            if (found == measured.end())
                continue;
            const double error = valueOf(metric, measured, *found->second, context);
            if (!std::isfinite(error))
                continue;
            sums[i].option.scheme = schemes[i];
            sums[i].option.bytes += found->second->scheme.storedBytes(tensor.matrix);
            sums[i].option.error += error;
            ++sums[i].members;
        }
    }
    std::vector<AllocationOption> options;
    for (auto& sum : sums)
        if (sum.members == group.tensors.size())
            options.push_back(std::move(sum.option));
    return options;
}

struct Segment {
    double slope = 0.0;
    FrontierStep step;
    std::uint32_t from = 0;  ///< the option that the step leaves
};

/// The lower convex hull of one group's options as steps of falling slope. Slopes are compared as computed, here and
/// when all groups are merged, so that rounding cannot put a group's steps out of order.
void appendHull(const AllocationGroup& group, std::uint32_t index, std::vector<Segment>& segments)
{
    std::vector<Segment> hull;
    for (std::uint32_t option = 1; option < group.options.size(); ++option) {
        auto from = hull.empty() ? 0U : hull.back().step.option;
        auto steepness = slope(group.options[from], group.options[option]);
        while (!hull.empty() && hull.back().slope < steepness) {
            from = hull.back().from;
            hull.pop_back();
            steepness = slope(group.options[from], group.options[option]);
        }
        hull.push_back({steepness, {index, option}, from});
    }
    segments.insert(segments.end(), hull.begin(), hull.end());
}

}  // namespace

std::vector<std::uint32_t> Frontier::choice(std::size_t point) const
{
    std::vector<std::uint32_t> options(groups.size(), 0);
    for (std::size_t i = 0; i < point; ++i)
        options[steps[i].group] = steps[i].option;
    return options;
}

std::optional<std::size_t> Frontier::at(std::uint64_t bytes) const
{
    const auto above = std::upper_bound(points.begin(), points.end(), bytes,
        [](std::uint64_t limit, const FrontierPoint& point) { return limit < point.bytes; });
    if (above == points.begin())
        return std::nullopt;
    return static_cast<std::size_t>(above - points.begin()) - 1;
}

Result<Frontier> frontier(const StudySnapshot& study, const std::vector<std::string>& schemes,
    const std::vector<std::string>& keep, ErrorMetric metric, Fused fused)
{
    std::vector<std::string> canonical;
    for (const auto& text : schemes) {
        const auto scheme = Scheme::parse(text);
        if (!scheme)
            return tl::unexpected<Error>(scheme.error());
        canonical.push_back(scheme->toString());
    }
    if (schemes.empty())
        canonical = study.schemes();
    std::sort(canonical.begin(), canonical.end());
    canonical.erase(std::unique(canonical.begin(), canonical.end()), canonical.end());

    Frontier result;
    result.metric = metric;
    const Measured known {study, canonical, metric, metricContext(study)};
    result.groups = groupsOf(study.model, keep, fused);
    std::vector<Segment> segments;
    bool measured = false;
    for (std::size_t i = 0; i < result.groups.size(); ++i) {
        auto& group = result.groups[i];
        group.options = optionsOf(group, known);
        removeDominated(group.options, static_cast<std::uint32_t>(i), result.violations);
        measured = measured
            || std::any_of(group.options.begin(), group.options.end(),
                [](const AllocationOption& option) { return !option.scheme.empty(); });
        appendHull(group, static_cast<std::uint32_t>(i), segments);
    }
    if (!measured)
        return failure(ErrorCode::InvalidArgument, study.model.path,
            "no measurements of " + std::string(nameOf(metric)) + " to allocate from: analyze first");
    std::stable_sort(segments.begin(), segments.end(),
        [](const Segment& left, const Segment& right) { return left.slope > right.slope; });

    // What is not decided: everything outside the groups, a tied head once.
    std::uint64_t bytes = unquantizedBytes(study.model);
    for (const auto& group : result.groups) {
        for (const auto tensor : group.tensors)
            bytes -= study.model.tensors[tensor].bytes;
        bytes += group.options.front().bytes;
    }
    result.points.resize(segments.size() + 1);
    result.steps.reserve(segments.size());
    result.points.front().bytes = bytes;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto& [unused, step, from] = segments[i];
        const auto& options = result.groups[step.group].options;
        result.steps.push_back(step);
        result.points[i + 1].bytes = result.points[i].bytes + options[step.option].bytes - options[from].bytes;
    }
    // Errors are summed from the large end, where they are least: only positive terms, so no cancellation.
    double error = 0.0;
    for (const auto& group : result.groups)
        error += group.options.back().error;
    const auto parameters = static_cast<double>(study.model.parameters());
    for (std::size_t i = result.points.size(); i-- > 0;) {
        auto& point = result.points[i];
        point.error = error;
        point.bitsPerWeight = static_cast<double>(point.bytes) * 8.0 / parameters;
        if (i > 0) {
            const auto& [unused, step, from] = segments[i - 1];
            const auto& options = result.groups[step.group].options;
            error += options[from].error - options[step.option].error;
        }
    }
    return result;
}

}  // namespace quantloupe
