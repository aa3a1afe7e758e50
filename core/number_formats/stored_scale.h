// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"

namespace quantloupe {

/// The value nearest to a scale > 0 that its storage holds, never 0: what decoding will see, so grids are made of it.
/// sbf16: round to nearest even. se8m0: the next power of two that is not smaller, so that nothing is clipped
/// (OCP MX 1.0 stores 2⁻¹²⁷ … 2¹²⁷). s32: itself. s16: itself, too, as the original implementations do not round scales
/// to FP16 when they choose codes; packed_matrix.h rounds them where bytes are written. s8 rounds all scales of a
/// tensor together: double_quantization.h.
float storedScale(ScaleStorage storage, float scale);

/// storedScale(), lowered until scale × steps is finite: only scales near the end of float's range ever are.
float usableScale(ScaleStorage storage, float scale, float steps);

/// The scale of a unit of zeros: 1, or next to nothing where all scales of a tensor share one range.
float scaleOfZeros(ScaleStorage storage);

/// The next smaller scale that the storage holds.
float lowerScale(ScaleStorage storage, float scale);

/// How much larger a stored scale may be than the one it was made from, and how much smaller, as factors.
struct ScaleStretch {
    double largest = 1.0;
    double smallest = 1.0;
};
ScaleStretch scaleStretch(ScaleStorage storage);

/// What the storage makes of a floating minimum, which may be 0 or negative.
float storedMinimum(ScaleStorage storage, float minimum);

}  // namespace quantloupe
