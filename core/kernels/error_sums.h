// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// What error statistics are made of, over the finite originals: e = w − ŵ, rounded to float.
struct ErrorSums {
    std::uint64_t count = 0;       ///< finite originals
    double signalEnergy = 0.0;     ///< Σw²
    double quantizedEnergy = 0.0;  ///< Σŵ²
    double errorEnergy = 0.0;      ///< Σe²
    double dotProduct = 0.0;       ///< Σw·ŵ
    double errorSum = 0.0;         ///< Σe
    double maxAbsError = 0.0;

    ErrorSums& operator+=(const ErrorSums& other);
};

/// One pass over a row or any other run of weights.
/// Blocks of 1,024 are summed in float lanes, then in double; a block whose sums would leave float's good range (tiny,
/// huge or all-zero weights) is summed in double throughout. Against the reference, each sum of a block is within
/// 2⁻²⁴·(1,024 / lanes + 8) of the sum of its terms' sizes; count and maxAbsError are exact.
/// @pre same size
ErrorSums errorSums(std::span<const float> originals, std::span<const float> quantized);
ErrorSums errorSumsReference(std::span<const float> originals, std::span<const float> quantized);

/// The same for a run within one row, with its profile: columnEnergies[i] += e² (in float), errors[i] = e, NaN where
/// the original is not finite. @pre all as long as originals
ErrorSums errorProfile(std::span<const float> originals, std::span<const float> quantized,
    std::span<float> columnEnergies, std::span<float> errors);

/// Σ(w−ŵ)² of the finite weights from `lowest` to `highest`, and of those beyond.
struct ExactEnergies {
    double inside = 0.0, beyond = 0.0;
};

/// From differences in double, which errorSums() rounds to float. Each in eight sums, as in the reference: every target
/// returns its bits. Not finite where ŵ of a finite weight is not, else always. @pre same size
ExactEnergies exactErrorEnergies(
    std::span<const float> originals, std::span<const float> quantized, float lowest, float highest);
ExactEnergies exactErrorEnergiesReference(
    std::span<const float> originals, std::span<const float> quantized, float lowest, float highest);

/// totals[i] += recent[i], recent[i] = 0: sums in float become exact sums in double now and then. @pre same size
void settleSums(std::span<float> recent, std::span<double> totals);
/// totals[i] += more[i]. @pre same size, not the same memory
void addSums(std::span<const double> more, std::span<double> totals);

}  // namespace quantloupe::kernels
