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
/// While a unit is in the first-level cache, the cost of each candidate is bounded from both sides by polynomials, and
/// what shorter ranges clip from its largest weights rules them out by dozens; only candidates whose bounds overlap the
/// best are tried. The sums compared then are those of powerErrorsOfUnits(), bit for bit: so is the choice.
/// @pre rule is not Given, and codes begin with 1 where it is Symmetric; shrinks descend from 1, one to
/// mostShrinkCandidates of them; grids: one per unit
void integerShrinkSearch(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids);
/// Every candidate to its end, by the kernels for one step each.
void integerShrinkSearchReference(std::span<const float> rows, const UnitShape& shape, IntegerRule rule,
    const IntegerCodes& codes, std::span<const float> shrinks, std::span<UnitGrid> grids);

}  // namespace quantloupe::kernels
