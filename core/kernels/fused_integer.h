// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/error_sums.h"
#include "core/kernels/histogram_counts.h"
#include "core/kernels/integer_rule.h"

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// A uniform integer format on one matrix.
struct IntegerScheme {
    UnitShape shape {};
    IntegerCodes codes {};
    IntegerRule rule = IntegerRule::Given;
    /// For IntegerRule::Given: one per unit of the rows handed over, or one if shape.shared.
    std::span<const UnitGrid> grids {};
};

/// Where the figures of integerErrors() go, apart from its sums.
struct IntegerErrorProfile {
    std::span<float> rowEnergies {};       ///< one per row: Σe²
    std::span<float> columnEnergies {};    ///< one per column, += e² (in float)
    HistogramTables* histogram = nullptr;  ///< of e over the finite weights, if wanted. @pre canCount(bins)
    HistogramBins bins {};
};

/// One scheme's part in integerErrors(): what it is, and what it gains.
struct IntegerErrorJob {
    const IntegerScheme* scheme = nullptr;
    IntegerErrorProfile profile {};
    ErrorSums sums {};
    std::uint64_t clipped = 0;  ///< finite weights that were clamped
};

/// Whether integerErrors() can fill such a histogram: 256 bins, symmetric about 0.
constexpr bool canCount(const HistogramBins& bins)
{
    return bins.bins == 256 && bins.low == -bins.high;
}

/// The error of whole rows under uniform integer formats, in one pass that neither writes ŵ nor e to memory: the next
/// weights are fetched into a cache while others are quantized and measured, errors are counted some steps after they
/// were made, and formats whose units are made of the same pieces share their ranges.
///
/// Codes, and with them every e = w − ŵ, are those of integerFakeQuantizeReference() bit for bit: products with 1/scale
/// stand in for quotients only where they cannot change the rounding. Counts and maxAbsError are exact; other sums are
/// as errorSums() makes them, in float lanes over at most 1,024 weights (Σw²: in four times as many lanes). No figure
/// depends on which formats are measured together.
/// @pre whole rows, of as many columns for each job; shape.shared only with IntegerRule::Given; profiles of different
/// jobs do not overlap
void integerErrors(std::span<const float> rows, std::span<IntegerErrorJob> jobs);
/// Of one; `clipped` gains the finite weights that were clamped.
ErrorSums integerErrors(std::span<const float> rows, const IntegerScheme& scheme, const IntegerErrorProfile& profile,
    std::uint64_t& clipped);
ErrorSums integerErrorsReference(std::span<const float> rows, const IntegerScheme& scheme,
    const IntegerErrorProfile& profile, std::uint64_t& clipped);

/// Weights that lie side by side in one row: what integerErrors() hands over to slower hands.
struct IntegerRun {
    const float* weights;
    std::size_t row, column, count;  ///< column: of the first of them
};

/// Its way where float lanes are not fit: for weights that are not finite, tiny or huge. Without a profile only sums
/// are made, and the run may begin and end anywhere in a unit. @pre the whole units are in memory around it
ErrorSums addCarefully(
    const IntegerRun& run, const IntegerScheme& scheme, const IntegerErrorProfile* profile, std::uint64_t& clipped);

}  // namespace quantloupe::kernels
