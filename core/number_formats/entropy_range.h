// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe {

constexpr std::size_t entropyBins = 2048;

/// Adds the sizes of finite values to a histogram over [0, absMax]; absMax itself belongs to the last bin. `weights`:
/// what each value counts, or empty for 1. @pre absMax > 0, counts.size() == entropyBins
void countSizes(std::span<const float> values, std::span<const float> weights, float absMax, std::span<double> counts);

/// The end of the symmetric range that keeps most of a histogram's information when its values become codes of `bits`
/// bits: the smallest Kullback–Leibler divergence, over cuts after 128 bins and more, between the histogram with what
/// lies beyond the cut put into its last bin and what 2^(bits−1) equal steps keep of it; the last of equals.
/// As TensorRT and modelopt calibrate (S. Migacz, 8-bit Inference with TensorRT, 2017), the first bin taking the
/// second's count as there. absMax where the histogram is empty or its second bin holds everything.
float entropyThreshold(std::span<const double> counts, float absMax, unsigned bits);

}  // namespace quantloupe
