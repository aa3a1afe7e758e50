// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/study.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// The figures that a tensor can be ranked by. Errors of weights and of a layer's outputs compare schemes of one tensor
/// well, and tensors among each other badly, since they do not know how much the model's predictions depend on a
/// tensor: that the divergences do.
enum class ErrorMetric : std::uint8_t {
    Sqnr,           ///< 10·log10(Σw²/Σ(w−ŵ)²), dB; higher is better
    RelativeError,  ///< Σ(w−ŵ)²/Σw² of the tensor
    MeanSquared,    ///< Σ(w−ŵ)²/n, weight units squared
    MaxAbs,         ///< max|w−ŵ|, weight units
    ModelError,     ///< Σ(w−ŵ)² of the tensor / Σw² of all measured tensors: its part of the trade-off's error
    OutputError,    ///< E‖(W−Ŵ)x‖² / E‖Wx‖² over the tokens of the calibration
    Fisher,      ///< nats per token: ½ Σ F·(w−ŵ)², F: the squared gradients of the weights (PredictedDivergence)
    Kfac,        ///< nats per token: ½ tr(G·E·H·Eᵀ), from the gradients of a layer's outputs and its inputs
    OnePointKl,  ///< nats per token: the KL measured at one scheme, times the ratio of output errors
    MeasuredKl,  ///< nats per token, with this tensor alone quantized
};

std::span<const ErrorMetric> allErrorMetrics();
/// "sqnr", "relative_error", "mse", "max_abs_error", "model_error", "output_error", "fisher", "kfac", "one_point_kl",
/// "measured_kl".
std::string_view nameOf(ErrorMetric metric);
/// The metric of that name; nullopt: there is none.
std::optional<ErrorMetric> metricNamed(std::string_view name);
bool higherIsBetter(ErrorMetric metric);
/// Whether it says in nats per token what becomes of the model's predictions, measured or estimated.
bool predictsKl(ErrorMetric metric);
/// Whether what it says of several tensors may be added up for all of them together.
bool addsUp(ErrorMetric metric);

/// What figures of one tensor must know of all.
struct MetricContext {
    double signalEnergy = 0.0;  ///< signalEnergy(study)
    /// Canonical text of the scheme whose KL one-point estimates start from: measured on most tensors, of several the
    /// first; empty: none was.
    std::string measuredScheme {};
};
MetricContext metricContext(const StudySnapshot& study);

/// Of one of the measurements `all` of a tensor. NaN where it is not known.
double valueOf(ErrorMetric metric, const SchemeMeasurements& all, const SchemeMeasurement& measurement,
    const MetricContext& context);

/// Those that are known of at least one tensor, in the order of allErrorMetrics().
std::vector<ErrorMetric> knownMetrics(const StudySnapshot& study);

/// What to rank and allocate by: the measured KL where most measurements have it, else K-FAC, else one-point KL, else
/// the error of the model's weights, which is a poor guide.
ErrorMetric bestMetric(const StudySnapshot& study);

/// The scheme that rankings and small figures refer to when none is chosen: measured on most tensors, and among those
/// the one with the largest total error. nullopt when nothing was measured.
std::optional<std::string> referenceScheme(const StudySnapshot& study);

/// Catalog indices of the tensors that were measured, ordered by block (those before the first block first, those
/// after the last block last) and then as in the file.
std::vector<std::size_t> measuredInDepthOrder(const StudySnapshot& study);

}  // namespace quantloupe
