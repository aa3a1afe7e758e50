// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/schemes/scheme.h"
#include "core/statistics/error_statistics.h"
#include "core/statistics/histogram.h"
#include "core/statistics/weight_statistics.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quantloupe {

/// What one scheme does to one tensor.
struct SchemeMeasurement {
    Scheme scheme;
    ErrorStatistics error;
    std::uint64_t storedBytes = 0;  ///< of the tensor under the scheme
    double bitsPerWeight = 0.0;
    /// Fingerprint of the ColumnImportance that errors were weighed by; 0: by none.
    std::uint64_t importance = 0;
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
