// SPDX-License-Identifier: GPL-3.0-or-later
// What kernels::integerErrors() makes of weights, to be compared.
#pragma once

#include "core/kernels/fused_integer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace quantloupe::tests {

using kernels::ErrorSums;
using kernels::IntegerRule;

constexpr std::size_t rowCount = 11;

struct IntegerCase {
    const char* name;
    IntegerRule rule;
    int bits;
};
constexpr IntegerCase integerCases[] = {{"sym 4", IntegerRule::Symmetric, 4}, {"sym 8", IntegerRule::Symmetric, 8},
    {"sym 2", IntegerRule::Symmetric, 2}, {"sym 16", IntegerRule::Symmetric, 16},
    {"symf 4", IntegerRule::SymmetricFull, 4}, {"symf 8", IntegerRule::SymmetricFull, 8},
    {"asym 8", IntegerRule::Asymmetric, 8}, {"asym 2", IntegerRule::Asymmetric, 2},
    {"asymf 4", IntegerRule::AsymmetricFloat, 4}, {"asymf 16", IntegerRule::AsymmetricFloat, 16}};

inline kernels::IntegerScheme schemeOf(const IntegerCase& of, std::size_t columns, std::size_t length)
{
    return {.shape = {columns, std::max<std::size_t>(1, length), false},
        .codes = {of.rule == IntegerRule::Symmetric ? 1.0F : 0.0F, float((1U << unsigned(of.bits)) - 1U),
            of.rule == IntegerRule::AsymmetricFloat},
        .rule = of.rule};
}

struct Outcome {
    ErrorSums sums;
    std::uint64_t clipped = 0;
    std::vector<float> rows, columns;
    std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(256);
    std::uint64_t below = 0, above = 0;
};

using Kernel = ErrorSums (*)(
    std::span<const float>, const kernels::IntegerScheme&, const kernels::IntegerErrorProfile&, std::uint64_t&);

inline Outcome run(Kernel kernel, std::span<const float> weights, const kernels::IntegerScheme& scheme, float range)
{
    Outcome outcome;
    outcome.rows.resize(scheme.shape.rows(weights.size()));
    outcome.columns.resize(scheme.shape.columns);
    const auto tables = std::make_unique<kernels::HistogramTables>();
    const kernels::HistogramBins bins {-range, range, 256};
    const bool counting = range > 0.0F;
    outcome.sums = kernel(
        weights, scheme, {outcome.rows, outcome.columns, counting ? tables.get() : nullptr, bins}, outcome.clipped);
    kernels::HistogramTotals totals {.counts = outcome.counts};
    kernels::histogramFold(*tables, bins, totals);
    outcome.below = totals.below;
    outcome.above = totals.above;
    return outcome;
}

// Relative to the sizes of the terms: float lanes of up to 1,024 (scalar target).
inline bool close(double actual, double expected, double sizes)
{
    return actual == expected || std::abs(actual - expected) <= 0x1p-24 * (1024 + 16) * sizes;
}

inline bool agree(const Outcome& a, const Outcome& b, std::size_t rows)
{
    const auto& x = a.sums;
    const auto& y = b.sums;
    const double sizes = y.signalEnergy + y.quantizedEnergy + y.errorEnergy;
    if (x.count != y.count || a.clipped != b.clipped || x.maxAbsError != y.maxAbsError || a.counts != b.counts
        || a.below != b.below || a.above != b.above || !close(x.signalEnergy, y.signalEnergy, y.signalEnergy)
        || !close(x.quantizedEnergy, y.quantizedEnergy, y.quantizedEnergy)
        || !close(x.errorEnergy, y.errorEnergy, y.errorEnergy) || !close(x.dotProduct, y.dotProduct, sizes)
        || !close(x.errorSum, y.errorSum, std::sqrt(double(y.count) * y.errorEnergy)))
        return false;
    for (std::size_t i = 0; i < a.rows.size(); ++i)
        if (!close(double(a.rows[i]), double(b.rows[i]), double(b.rows[i]) + 1e-44))
            return false;
    for (std::size_t i = 0; i < a.columns.size(); ++i)
        if (std::abs(a.columns[i] - b.columns[i]) > 0x1p-23F * float(rows) * b.columns[i])
            return false;
    return true;
}

inline bool isSame(const Outcome& a, const Outcome& b)
{
    const auto& x = a.sums;
    const auto& y = b.sums;
    return x.count == y.count && x.signalEnergy == y.signalEnergy && x.quantizedEnergy == y.quantizedEnergy
        && x.errorEnergy == y.errorEnergy && x.dotProduct == y.dotProduct && x.errorSum == y.errorSum
        && x.maxAbsError == y.maxAbsError && a.clipped == b.clipped && a.counts == b.counts && a.below == b.below
        && a.above == b.above && a.rows == b.rows && a.columns == b.columns;
}

// Weights on and beside the middles between two steps of a grid.
inline void putTies(std::span<float> weights, const UnitGrid& grid, const kernels::IntegerCodes& codes)
{
    for (std::size_t i = 2; i < weights.size(); ++i) {
        const float code = codes.lowest + float(i % std::size_t(codes.highest - codes.lowest)) + 0.5F;
        const float tie = codes.floatingMinimum ? code * grid.scale + grid.zero : (code - grid.zero) * grid.scale;
        weights[i] = i % 3 == 0 ? tie : std::nextafter(tie, i % 3 == 1 ? HUGE_VALF : -HUGE_VALF);
    }
}

}  // namespace quantloupe::tests
