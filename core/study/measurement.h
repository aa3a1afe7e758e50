// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"
#include "core/statistics/error_statistics.h"
#include "core/statistics/histogram.h"
#include "core/statistics/weight_statistics.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace quantloupe {

/// What a scheme takes from the outputs y = W·x of a layer, over the tokens that calibration saw.
struct OutputError {
    double energy = 0.0;  ///< E‖(W − Ŵ)·x‖², per token
    double signal = 0.0;  ///< E‖W·x‖²; 0: not known

    bool known() const { return signal > 0.0; }
    /// energy / signal; NaN where not known.
    double relative() const { return known() ? energy / signal : std::numeric_limits<double>::quiet_NaN(); }
    bool operator==(const OutputError&) const = default;
};

/// What quantizing this tensor alone does to the model's predictions: KL(original ‖ changed) in nats per token.
struct MeasuredDivergence {
    double mean = 0.0;
    double standardError = 0.0;     ///< of the mean over the text; 0: not known
    std::uint64_t predictions = 0;  ///< that were compared; 0: not measured
    std::uint64_t text = 0;         ///< fingerprint of the tokens and their windows

    bool known() const { return predictions > 0; }
    bool operator==(const MeasuredDivergence&) const = default;
};

/// What gradients say that quantizing this tensor alone does to the model's predictions, in nats per token: half the
/// curvature of the loss along the change E = W − Ŵ, without having run the changed model. Source: Martens & Grosse,
/// "Optimizing neural networks with Kronecker-factored approximate curvature" (2015).
struct PredictedDivergence {
    double kfac = -1.0;  ///< ½ tr(G·E·H·Eᵀ), G = E g·gᵀ of the output gradients, H = E x·xᵀ; below 0: not known
    double fisher = -1.0;  ///< ½ Σ F·E², F: the squared gradients of the weights; below 0: not known

    bool operator==(const PredictedDivergence&) const = default;
};

/// What one scheme does to one tensor.
struct SchemeMeasurement {
    Scheme scheme;
    ErrorStatistics error;
    std::uint64_t storedBytes = 0;  ///< of the tensor under the scheme
    double bitsPerWeight = 0.0;
    /// Fingerprint of the ColumnImportance that errors were weighed by; 0: by none.
    std::uint64_t importance = 0;
    /// Fingerprint of the KnownInputs of the tensor; 0: without any. What algorithms rounded by, outputErrors' x,
    /// and the gradients of `predicted`.
    std::uint64_t calibration = 0;
    OutputError outputError {};
    MeasuredDivergence divergence {};
    PredictedDivergence predicted {};
    Histogram errorHistogram;              ///< w − ŵ, 256 bins
    std::vector<float> rowErrorEnergy;     ///< Σ(w−ŵ)² per output channel
    std::vector<float> columnErrorEnergy;  ///< per input channel

    bool operator==(const SchemeMeasurement&) const = default;
};

/// All that was measured for one tensor in one go: the unit of work, of the journal and of the study.
struct TensorMeasurement {
    std::string tensor;
    WeightStatistics weights;
    std::vector<SchemeMeasurement> schemes;

    bool operator==(const TensorMeasurement&) const = default;
};

}  // namespace quantloupe
