// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/affine_rows.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace quantloupe {

/// Levels of bitsandbytes' four-bit types by their codes. Source: bitsandbytes, functional.py.
inline constexpr std::array<float, 16> kNormalFloat4 {-1.0F, -0.6961928009986877F, -0.5250730514526367F,
    -0.39491748809814453F, -0.28444138169288635F, -0.18477343022823334F, -0.09105003625154495F, 0.0F,
    0.07958029955625534F, 0.16093020141124725F, 0.24611230194568634F, 0.33791524171829224F, 0.44070982933044434F,
    0.5626170039176941F, 0.7229568362236023F, 1.0F};
inline constexpr std::array<float, 16> kBitsAndBytesFloat4 {0.0F, 5.208333333e-03F, 0.66666667F, 1.0F, 0.33333333F,
    0.5F, 0.16666667F, 0.25F, -0.0F, -5.208333333e-03F, -0.66666667F, -1.0F, -0.33333333F, -0.5F, -0.16666667F, -0.25F};

/// weight = levels[code]·scale; two codes in a byte, the first in its upper half; one scale per `block` elements, which
/// run on from row to row.
struct CodeBookWeight {
    ElementOrder order;
    StoredElements codes, scales;
    std::uint64_t block = 1;
    std::array<float, 16> levels {};
    std::string description {};
};
/// @pre every element and scale that rows of the order ask for lies inside its bytes
std::shared_ptr<const RowDecoder> codeBookRows(CodeBookWeight weight);

}  // namespace quantloupe
