// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe::kernels {

/// IEEE 754 binary16 widened to float32, exactly; bits as halfToFloat() gives them: NaNs quieted, their payloads kept.
/// Little-endian, wherever they lie: nothing in a file is aligned by right. @pre 2 bytes per element of out
void widenHalves(std::span<const std::byte> halves, std::span<float> out);

/// bfloat16, with the bits that bfloat16ToFloat() gives.
void widenBrainHalves(std::span<const std::byte> halves, std::span<float> out);

}  // namespace quantloupe::kernels
