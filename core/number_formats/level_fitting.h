// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace quantloupe {

/// The `count` levels, ascending, that make Σ weight·(value − nearest level)² small: k-means in one dimension.
/// Up to 1,024 values that count the optimum itself, by dynamic programming over the sorted values (Wang & Song,
/// Ckmeans.1d.dp, R Journal 3/2, 2011); beyond, the optimum over the means of some 256 runs of neighbours, improved on
/// all values by Lloyd's iteration until nothing moves. The same input gives the same bits: nothing is drawn at random.
/// Values must be finite; `weights` is empty for all alike, or holds one ≥ 0 per value (all 0 counts as all alike).
/// Fewer distinct values than levels: the largest is repeated. No values: all 0.
std::vector<double> fitLevels(std::span<const float> values, std::span<const float> weights, std::size_t count);

}  // namespace quantloupe
