// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <span>
#include <vector>

namespace quantloupe {

/// What is left of grids once they are stored: scales (and floating minimums) rounded to the scheme's storage, s16
/// included, whose FP16 rounding fitting leaves out (stored_scale.h); a value beyond FP16 becomes the largest there is.
/// @pre grids of all units of a matrix, in order
std::vector<UnitGrid> storedGrids(const Scheme& scheme, std::span<const UnitGrid> grids);

/// The bytes of a whole matrix: exactly Scheme::storedBytes() of them, algorithms' own bytes excepted.
/// Formats with a granularity: the codes of row after row, each row filled up to a whole byte (ternary: five codes to a
/// byte), then the scales in their storage, then integer zero points side by side, or floating minimums. Block formats:
/// row after row, each block its scale byte and then its codes, the last block filled up with zeros; nvfp4 with the
/// tensor's FP32 scale in front. Formats packed row by row: their rows.
/// The law: unpackMatrix() gives what fakeQuantize() gives with storedGrids(), bit for bit.
/// @pre grids as fitted to all rows (s8: not rounded together yet)
std::vector<std::byte> packMatrix(
    const Quantizer& quantizer, std::span<const float> rows, std::size_t rowCount, std::span<const UnitGrid> grids);
/// @pre bytes as packMatrix() makes them for so many rows
std::vector<float> unpackMatrix(const Quantizer& quantizer, std::span<const std::byte> bytes, std::size_t rowCount);

}  // namespace quantloupe
