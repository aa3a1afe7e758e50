// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/number_formats/quantizer.h"

#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// The grids of a whole matrix by the scheme's range estimator or, where it lists hqq, by HQQ; scales in the form their
/// storage gives them where that is part of choosing codes. Empty: stopped. @pre the quantizer has grids, rowCount > 0
std::vector<UnitGrid> chooseGrids(
    const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount, const std::stop_token& stop);

/// Ŵ of rows [first, first + count) of a matrix with such grids; out holds these rows alone.
void fakeQuantizeRows(const Quantizer& quantizer, std::span<const float> weights, std::span<const UnitGrid> grids,
    std::size_t first, std::size_t count, std::span<float> out);

/// Grids of least squared error, each column's errors weighed by what it is worth: cd's first step. asymf moves scale
/// and minimum, asym scale and zero point, the others the scale. Starts from the grids of the range, and finds better
/// ones or keeps them. Spreads of candidates: −0.9 … 0.9 in 37 steps from four bits on, −Q/2 … Q/4 below.
/// Empty: stopped.
/// @pre an integer format in groups or channels, scales in s16 or s32; importance: one value ≥ 0 per column
std::vector<UnitGrid> leastSquaresGridsOf(const Quantizer& quantizer, std::span<const float> weights,
    std::size_t rowCount, std::span<const float> importance, const std::stop_token& stop);

}  // namespace quantloupe
