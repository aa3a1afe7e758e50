// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"

#include <optional>
#include <span>
#include <string_view>

namespace quantloupe {

/// The figures that a tensor can be ranked by. All are errors of weights alone: they compare schemes of one tensor
/// well, and tensors among each other badly, since they do not know how much the model's output depends on a tensor.
enum class ErrorMetric : std::uint8_t {
    Sqnr,           ///< 10·log10(Σw²/Σ(w−ŵ)²), dB; higher is better
    RelativeError,  ///< Σ(w−ŵ)²/Σw² of the tensor
    MeanSquared,    ///< Σ(w−ŵ)²/n, weight units squared
    MaxAbs,         ///< max|w−ŵ|, weight units
    ModelError,     ///< Σ(w−ŵ)² of the tensor / Σw² of all measured tensors: its part of the trade-off's error
};

std::span<const ErrorMetric> allErrorMetrics();
/// "sqnr", "relative_error", "mse", "max_abs_error", "model_error".
std::string_view nameOf(ErrorMetric metric);
bool higherIsBetter(ErrorMetric metric);

/// NaN where it is not defined. `signalEnergy` is signalEnergy(study) of core/allocation; used by ModelError only.
double valueOf(ErrorMetric metric, const ErrorStatistics& error, double signalEnergy);

/// The scheme that rankings and small figures refer to when none is chosen: measured on most tensors, and among those
/// the one with the largest total error. nullopt when nothing was measured.
std::optional<std::string> referenceScheme(const StudySnapshot& study);

/// Catalog indices of the tensors that were measured, ordered by block (those before the first block first, those
/// after the last block last) and then as in the file.
std::vector<std::size_t> measuredInDepthOrder(const StudySnapshot& study);

}  // namespace quantloupe
