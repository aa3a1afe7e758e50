// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/combinations.h"
#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/model/model.h"
#include "core/study/measurement.h"

#include <functional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// One unit of work: a tensor under some schemes.
struct WorkUnit {
    std::size_t tensor = 0;
    std::vector<Scheme> schemes;
};

/// Called on the calling thread, in the order of the work list, soon after each tensor is finished.
using MeasurementSink = std::function<Result<void>(TensorMeasurement)>;

/// Distribution figures of one tensor, streamed tile by tile; the bits do not depend on the number of threads.
/// Runs in the caller's task arena. Errors: Cancelled, Unsupported (dtype cannot be decoded).
Result<WeightStatistics> measureWeights(const ModelTensor& tensor, std::stop_token stop, Progress& progress);

/// One pass over the tensor through all the schemes, and, where its inputs are known, another for what its outputs
/// lose. `weights` are its statistics from measureWeights(); `model` is the one that holds the tensor, in which cle
/// finds its partner. In a model whose layers' inputs are known, a tensor without any (an embedding) is rounded without
/// the algorithms that need them: its measurement's `calibration` is 0. Errors: Cancelled, Unsupported (a scheme that
/// is not built yet, named).
Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, Progress& progress, const Model* model = nullptr);

/// Works through the list on `threads` threads (0: all the process may use), each tensor parallel inside, and up to 16
/// small ones at the same time. What was measured when one fails, or a stop is requested, is still handed over.
Result<void> analyze(const Model& model, std::span<const WorkUnit> work, unsigned threads, std::stop_token stop,
    Progress& progress, const MeasurementSink& sink);

/// Fingerprint of what the errors of a tensor are weighed by under a scheme; 0: they are not. What a study holds was
/// measured alike where this is the same.
std::uint64_t importanceUsed(const ModelTensor& tensor, const Scheme& scheme);

/// Fingerprint of what is known of a tensor's inputs; 0: nothing.
std::uint64_t calibrationUsed(const ModelTensor& tensor);

/// Whether the inputs of any of the model's layers are known.
Calibration calibrationOf(const Model& model);

/// Refuses, by name, schemes that can be written but not be measured. Errors: Unsupported.
Result<void> requireBuilt(const Scheme& scheme, Calibration calibration = Calibration::Absent);

}  // namespace quantloupe
