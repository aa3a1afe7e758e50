// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/half_quadratic.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <span>

namespace quantloupe {

/// HQQ's data-free zero points for integers with a floating minimum (asymf): the scale is that of the range, the
/// minimum moves until a robust norm of the errors is least. Replaces the range estimator.
///
/// The original iterates over the whole tensor and stops all units together, once the mean error of the tensor no
/// longer falls. Units meet nowhere else; so one pass sums the error of every iteration, which tells where the original
/// stops, and each row is fitted by itself afterwards, as often as it is asked for and in any order. Nothing is kept
/// per unit.
///
///     HalfQuadraticSearch search(quantizer);
///     while (search.needsPass()) {
///         auto total = search.emptyPartial();
///         for each tile: { auto part = search.emptyPartial(); search.add(part, tile); total merges part, in tile order
///         } search.finishPass(total);
///     }
///     search.fit(rows, grids);
///
/// add() and fit() may run on many threads at once. Units of one value keep it exactly; units with weights beyond
/// 2^120 keep the grid of their range. Ranges of 1e-4 and less have scale 1, and scales are at least 5e-5, as in the
/// original. Source: HQQ (Badri and Shaji 2023), legacy solver: p = 0.7, β = 10, κ = 1.01, 20 iterations, zero not
/// rounded.
class HalfQuadraticSearch
{
public:
    using Partial = kernels::HalfQuadraticSums;

    /// @pre the quantizer's scheme is an integer format with Symmetry::AsymmetricFloat, and not wholeTensor()
    explicit HalfQuadraticSearch(const Quantizer& quantizer);

    bool needsPass() const { return m_needsPass; }
    Partial emptyPartial() const { return {}; }
    /// Whole rows.
    void add(Partial& partial, std::span<const float> rows) const;
    void finishPass(const Partial& total);

    /// How many iterations the original makes on this tensor. @pre !needsPass()
    std::size_t iterations() const { return m_iterations; }
    /// Grids of whole rows: scale and minimum. @pre !needsPass(); grids.size() == rows × units per row
    void fit(std::span<const float> rows, std::span<UnitGrid> grids) const;

private:
    Quantizer m_quantizer;
    kernels::UnitShape m_shape;
    float m_highest = 0.0F;
    std::size_t m_iterations = kernels::halfQuadraticIterations;
    bool m_needsPass = true;
};

}  // namespace quantloupe
