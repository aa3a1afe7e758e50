// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/ranges.h"
#include "core/number_formats/number_format.h"

#include <cstddef>
#include <span>

namespace quantloupe {

/// How many ranges GPTQ's clipping search tries: 1 − i/100 of the full one for i = 0 … 79 (grid 100, maxshrink 0.8).
constexpr std::size_t shrinkCandidates = 80;

/// Candidate i of a range, in float as the original computes it.
struct ShrunkRange {
    float low;
    float high;
};
ShrunkRange shrunkRange(float low, float high, std::size_t candidate);

/// Whether both ends of the range are looked for on their own.
bool isTwoSided(const Scheme& scheme);

/// The part of a range within ±threshold.
kernels::FiniteRange cutRange(const kernels::FiniteRange& whole, float threshold);

/// What the units of some rows are fitted to.
struct FittingTask {
    const Scheme& scheme;
    kernels::UnitShape shape;
    std::size_t rowsPerUnit = 1;
    float tensorAbsMax = 0.0F;
    std::span<const float> importance {};  ///< empty, or what each column weighs
};

/// Chooses the grids of whole rows by the scheme's range estimator: one per unit, band of rows after band.
/// Importance weighs the errors of the mse search, the ranks of percentiles and the counts of entropy ranges; minmax
/// and the mean of |w| have nothing to weigh.
void fitUnits(
    const GridMethods& format, const FittingTask& task, std::span<const float> rows, std::span<UnitGrid> grids);

}  // namespace quantloupe
