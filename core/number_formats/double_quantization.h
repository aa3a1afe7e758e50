// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"
#include "core/schemes/scheme.h"

#include <span>

namespace quantloupe {

/// Rounds all scales of a tensor to what "s8" stores: their mean in FP32, and for each scale a byte that picks one of
/// 256 levels (bitsandbytes' dynamic map) times the largest distance from the mean among its 256 neighbours, FP32.
/// QLoRA, arXiv 2305.14314, section 3. Weights keep the codes that formats with a factor of encoding (nf4, fp4_bnb)
/// have chosen; the others choose theirs by the rounded scale.
/// @pre grids of all units of the tensor, in order
void quantizeScales(const Scheme& scheme, std::span<UnitGrid> grids);

}  // namespace quantloupe
