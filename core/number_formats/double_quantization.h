// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"
#include "core/schemes/scheme.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// Scales of a tensor as "s8" stores them: a byte each, FP32 for 256 of them, and their mean, FP32.
struct DoubleQuantizedScales {
    float offset = 0.0F;
    std::vector<float> blockScales {};   ///< largest distance from the mean among 256 neighbours
    std::vector<std::uint8_t> codes {};  ///< levels of bitsandbytes' dynamic map, ascending

    float scaleAt(std::size_t unit) const;
};

/// QLoRA, arXiv 2305.14314, section 3. @pre grids of all units of the tensor, in order
DoubleQuantizedScales doubleQuantize(std::span<const UnitGrid> grids);

/// Puts the stored scales into the grids. Weights keep the codes that formats with a factor of encoding (nf4, fp4_bnb)
/// have chosen; the others choose theirs by the rounded scale.
void quantizeScales(const Scheme& scheme, std::span<UnitGrid> grids);

}  // namespace quantloupe
