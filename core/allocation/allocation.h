// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/knapsack.h"
#include "core/base/error.h"
#include "core/recipes/plan.h"
#include "core/study/error_metric.h"
#include "core/study/study.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// One thing that can be done with one choice group: its exact bytes and its error.
struct AllocationOption {
    std::string scheme;       ///< canonical text; empty: kept as stored
    std::uint64_t bytes = 0;  ///< of all the group's tensors
    double error = 0.0;       ///< sum of the metric over the group's tensors
};

/// Tensors that are decided together (one tensor, or a fused group such as q/k/v), with their options.
struct AllocationGroup {
    std::vector<std::size_t> tensors;       ///< indices into the catalog
    std::vector<AllocationOption> options;  ///< ascending bytes, descending error: dominated ones are removed
};

/// The one difference between two neighbouring points: a group takes a larger option.
struct FrontierStep {
    std::uint32_t group = 0;
    std::uint32_t option = 0;
};

/// One point of the size–error trade-off.
struct FrontierPoint {
    std::uint64_t bytes = 0;     ///< of the whole model, kept tensors included
    double bitsPerWeight = 0.0;  ///< bytes × 8 / all parameters
    double error = 0.0;          ///< sum of the metric over all tensors; of what stays as stored 0
};

/// A heavier scheme that does worse than a lighter one on the same tensors: by chance, or because the metric is noisy.
struct MonotonicityViolation {
    std::uint32_t group = 0;
    std::string lighter, heavier;  ///< canonical schemes, neighbours by size
};

/// The mixed-precision frontier: the lower convex hull of size against summed error, walked by steepest
/// descent of error per byte. Each point is optimal for its own size (Everett, Operations Research 1963); sizes
/// between two points take the smaller one.
struct Frontier {
    ErrorMetric metric = ErrorMetric::ModelError;  ///< what errors are
    std::vector<AllocationGroup> groups;
    std::vector<MonotonicityViolation> violations {};  ///< heavier options were dropped for them
    std::vector<FrontierPoint> points;                 ///< ascending bytes, descending error
    std::vector<FrontierStep> steps;                   ///< steps[i] leads from points[i] to points[i + 1]

    /// Option index per group at a point. Linear in groups and steps; points do not carry it, since a large model has
    /// tens of thousands of both. @pre point < points.size()
    std::vector<std::uint32_t> choice(std::size_t point) const;
    /// The best point that takes at most `bytes`; nullopt when even the smallest is larger.
    std::optional<std::size_t> at(std::uint64_t bytes) const;
};

/// What a tensor costs besides bytes under a scheme (canonical text; empty: as stored): milliseconds of a decode step,
/// say. Finite, not negative.
using TensorCost = std::function<double(std::size_t tensor, const std::string& scheme)>;

/// What an allocation keeps to.
struct AllocationLimit {
    enum class Kind : std::uint8_t {
        TotalBytes,  ///< of the whole model: least error within them
        TotalError,  ///< summed metric: fewest bytes within it
        TotalCost,   ///< summed `costOf`: least error within it
    };
    Kind kind = Kind::TotalBytes;
    double value = 0.0;
    TensorCost costOf {};    ///< TotalCost alone
    double fixedCost = 0.0;  ///< TotalCost: of what is no tensor
    std::string unit {};     ///< TotalCost: what costs are, for errors: "ms per token"
};

/// The best that the additive model has within a limit: not only points of the hull.
struct Allocation {
    std::vector<std::uint32_t> choice;  ///< option per group of the frontier
    FrontierPoint point;
    double cost = 0.0;    ///< of all, where the limit is one of cost
    double bound = 0.0;   ///< no choice within the limit has less error (bytes); point.error (bytes) where optimal
    bool optimal = true;  ///< false: cut after too many choices as good as equal
};

/// Exact, by solveKnapsack(). Under a limit of cost, options that a smaller scheme beats are not considered: costs that
/// fall where bytes rise go unused. `mostStates`: how long is searched (knapsack.h). Errors: InvalidArgument, saying
/// what the least possible is (bytes, error or cost).
Result<Allocation> allocateWithin(const Frontier& frontier, const StudySnapshot& study, const AllocationLimit& limit,
    std::size_t mostStates = thoroughSearch);

/// What the additive model says of a choice. @pre one option per group
FrontierPoint predictedOf(
    const Frontier& frontier, const StudySnapshot& study, const std::vector<std::uint32_t>& choice);

/// One recipe or uniform scheme as a point of the same picture.
struct TradeOffPoint {
    std::string label;
    std::uint64_t bytes = 0;
    double bitsPerWeight = 0.0;
    double error = 0.0;  ///< as in FrontierPoint; NaN where a tensor was not measured under its scheme
};

/// Tensors that runtimes such as vLLM join into one product: q/k/v, gate/up, the experts of a layer. llama.cpp does
/// not.
enum class Fused : std::uint8_t { Together, Apart };

/// Options come from the study's measurements of `schemes` (all its schemes when empty) for which the metric is known,
/// and staying as stored; tensors
/// `keep` matches and tensors that cannot be quantized stay as stored. A fused group takes a scheme only when all its
/// tensors were measured under it; where it need not be kept together (`Fused::Apart`), each tensor chooses for itself.
/// Errors: InvalidArgument when nothing was measured, or for a scheme that is none.
Result<Frontier> frontier(const StudySnapshot& study, const std::vector<std::string>& schemes,
    const std::vector<std::string>& keep, ErrorMetric metric = ErrorMetric::ModelError, Fused fused = Fused::Together);

/// A recipe that realises a frontier point, written with few rules: most common scheme as default, block ranges and
/// roles as globs where they match exactly, names otherwise. resolve() of it gives the point's bytes exactly.
/// `base` gives what the point does not decide: identity, notes, activations and what is kept.
Recipe recipeAt(const Frontier& frontier, std::size_t point, const StudySnapshot& study, const Recipe& base);
/// The same for an option of each group.
Recipe recipeOf(const std::vector<AllocationGroup>& groups, const std::vector<std::uint32_t>& choice,
    const StudySnapshot& study, const Recipe& base);

/// Where a recipe lies in the picture.
TradeOffPoint placeOf(
    const Recipe& recipe, const StudySnapshot& study, std::string label, ErrorMetric metric = ErrorMetric::ModelError);

}  // namespace quantloupe
