// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/integer_rule.h"

#include <span>

namespace quantloupe::kernels {

/// How many ranges the search tries at most.
constexpr std::size_t mostShrinkCandidates = 100;

/// GPTQ's clipping search (arXiv 2210.17323, its code's Quantizer) for the units of whole rows: of the ranges
/// shrinks[i]·[low, high] the first whose grid has the least Σ |w − ŵ|^2.4 over the finite weights. low and high are a
/// unit's extremes, ±absmax under IntegerRule::Symmetric, 0 where nothing is finite.
/// All candidates of a unit are tried while it is in the first-level cache; one is given up as soon as its largest
/// weight alone, or the weights looked at so far, cost more than the best has cost in all. The sums compared are those
/// of powerErrorsOfUnits(), bit for bit: so is the choice.
/// @pre rule is not Given; shrinks descend from 1, at most mostShrinkCandidates of them; grids: one per unit
void integerShrinkSearch(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids);
/// Every candidate to its end, by the kernels for one step each.
void integerShrinkSearchReference(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids);

}  // namespace quantloupe::kernels
