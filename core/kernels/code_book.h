// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/unit_grid.h"

#include <array>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// Sixteen ascending levels in −1 … 1 and the fifteen thresholds between them.
struct CodeBook16 {
    std::array<float, 16> levels;
    std::array<float, 15> thresholds;
};

/// code = how many thresholds lie below t = clamp(w·grid.zero, −1, 1) (t on a threshold takes the lower level),
/// ŵ = levels[code]·grid.scale. grid.scale is the unit's absmax, grid.zero its reciprocal: bitsandbytes multiplies.
/// NaN counts as 0, infinities saturate. Returns how many finite weights lay outside ±grid.scale.
/// Every target returns the bits of the reference. @pre spans hold whole rows; grids as in integer_grid.h.
std::uint64_t codeBookFakeQuantize(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);
std::uint64_t codeBookFakeQuantizeReference(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);

void codeBookEncode(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes);
void codeBookEncodeReference(const CodeBook16& book, std::span<const float> rows, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<std::uint32_t> codes);

/// codes[i] = how many thresholds lie below values[i]; NaN counts as 0. For tables of any size, with levels of their
/// own. Every target returns what the reference does. @pre codes are as many as values
void countThresholds(std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes);
void countThresholdsReference(
    std::span<const float> thresholds, std::span<const float> values, std::span<std::uint32_t> codes);

/// One obvious loop. @pre codes < 16
void codeBookDecode(const CodeBook16& book, std::span<const std::uint32_t> codes, const UnitShape& shape,
    std::span<const UnitGrid> grids, std::span<float> out);

}  // namespace quantloupe::kernels
