// SPDX-License-Identifier: GPL-3.0-or-later
// The multiple-choice knapsack: one option of each class, as cheap as can be within a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quantloupe {

/// What choosing an option takes of the limit, and what it costs. Finite, weight ≥ 0.
struct KnapsackOption {
    double weight = 0.0;
    double cost = 0.0;
};

struct KnapsackSolution {
    std::vector<std::uint32_t> choice {};  ///< one option per class
    double weight = 0.0, cost = 0.0;
    /// No choice within the limit costs less than this: cost itself, but for rounding, where the search came to its
    /// end.
    double bound = 0.0;
    bool optimal = true;  ///< false: so many choices are as good as equal that the search was cut
};

/// States that are looked at before the search is cut: some tenths of a second, or, while a hand moves, some
/// hundredths.
inline constexpr std::size_t thoroughSearch = std::size_t {1} << 21U, quickSearch = std::size_t {1} << 19U;

/// The cheapest choice of one option per class whose weights sum to at most `limit`; nullopt: the lightest does not
/// fit. Exact: the Lagrangian bound of the relaxed problem leaves few options of few classes in question, and dynamic
/// programming over those that remain settles them (Pisinger, A minimal algorithm for the multiple-choice knapsack
/// problem, EJOR 83, 1995). Equals are settled by the order of options, so that the choice does not depend on the run.
/// @pre no class is empty
std::optional<KnapsackSolution> solveKnapsack(
    std::span<const std::vector<KnapsackOption>> classes, double limit, std::size_t mostStates = thoroughSearch);

}  // namespace quantloupe
