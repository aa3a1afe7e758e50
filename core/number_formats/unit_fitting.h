// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

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

/// Chooses the grids of whole rows by the scheme's range estimator. grids: one per unit.
void fitUnits(const NumberFormat& format, const Scheme& scheme, const kernels::UnitShape& shape,
    std::span<const float> rows, std::span<UnitGrid> grids);

}  // namespace quantloupe
