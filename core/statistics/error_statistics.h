// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace quantloupe {

/// Error of quantized weights ŵ against their originals w.
///
/// Additive: `a += b` is the error of two pieces together. Sums are doubles over finite originals only; non-finite
/// ones are counted and excluded. Units: weight units, squared for the energies.
/// Source: SQNR = 10·log10(Σw²/Σ(w−ŵ)²), Gersho & Gray, Vector Quantization and Signal Compression (1992).
struct ErrorStatistics {
    std::uint64_t count = 0;       ///< finite originals
    std::uint64_t nonFinite = 0;   ///< NaN and infinite originals, excluded everywhere else
    std::uint64_t clipped = 0;     ///< weights whose code was clamped to the ends of the range
    double signalEnergy = 0.0;     ///< Σw²
    double quantizedEnergy = 0.0;  ///< Σŵ²
    double errorEnergy = 0.0;      ///< Σ(w−ŵ)²
    double dotProduct = 0.0;       ///< Σw·ŵ
    double errorSum = 0.0;         ///< Σ(w−ŵ), for the bias
    double maxAbsError = 0.0;

    double mse() const;            ///< NaN when count == 0: an empty tensor never looks perfect
    double sqnrDb() const;         ///< +inf when lossless, NaN when the signal is zero
    double relativeError() const;  ///< ‖W−Q‖²/‖W‖²
    double cosine() const;
    double clippedRatio() const;
    double meanError() const;

    ErrorStatistics& operator+=(const ErrorStatistics& other);
    bool operator==(const ErrorStatistics&) const = default;
};

}  // namespace quantloupe
