// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// What of a grid ŵ = scale·code + minimum may move.
enum class GridFreedom : std::uint8_t {
    Scale,            ///< minimum = −scale·zero, zero given
    ScaleAndZero,     ///< minimum = −scale·zero, zero any whole code
    ScaleAndMinimum,  ///< both
};

/// A search for the grid of least weighted squared error. From each spread r, and from a grid of step
/// range/(highest − lowest + r) that begins at the smallest weight or is centred on the range, `rounds` times: codes
/// are rounded, then scale and minimum refitted to them by weighted least squares; the best of all grids met is kept.
struct LeastSquaresSearch {
    GridFreedom freedom = GridFreedom::ScaleAndMinimum;
    double lowest = 0.0, highest = 15.0;  ///< codes, whole
    double zero = 8.0;                    ///< the code of 0; GridFreedom::Scale only
    std::span<const double> spreads {};
    std::size_t rounds = 4;
};

/// Improves grids of units that lie side by side: weight k of unit u is weights[k·units + u], and weighs
/// importance[k] ≥ 0. In: usable grids; out: better ones, or the same. Each unit by itself in double, sums in the order
/// of k, so that every target returns the bits of the reference.
/// @pre units is a multiple of 8; weights finite; scales > 0
void leastSquaresGrids(const LeastSquaresSearch& search, std::span<const double> importance,
    std::span<const float> weights, std::size_t units, std::span<double> scales, std::span<double> minimums);
void leastSquaresGridsReference(const LeastSquaresSearch& search, std::span<const double> importance,
    std::span<const float> weights, std::size_t units, std::span<double> scales, std::span<double> minimums);

}  // namespace quantloupe::kernels
