// SPDX-License-Identifier: GPL-3.0-or-later
// Two ways to quantize one model, side by side: recipes, studies, or somebody's checkpoints.
#pragma once

#include "core/analysis/audit.h"
#include "core/study/error_metric.h"
#include "core/study/study.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// What becomes of one tensor on one side.
struct ComparedTensor {
    std::string scheme {};    ///< plan, packing or dtype; empty: as stored
    bool present = true;      ///< false: a checkpoint that does not have it, or that cannot be read
    std::uint64_t bytes = 0;  ///< 0 for a tied output head
    /// Σ(w−ŵ)² and the largest |w−ŵ|; NaN where its scheme was not measured. Of what stays as stored 0.
    double errorEnergy = std::numeric_limits<double>::quiet_NaN();
    double maxAbsError = std::numeric_limits<double>::quiet_NaN();
    /// In the comparison's metric; NaN where not known.
    double value = std::numeric_limits<double>::quiet_NaN();
    bool operator==(const ComparedTensor&) const = default;
};

struct ComparedSide {
    std::string name {};                     ///< for people
    std::vector<ComparedTensor> tensors {};  ///< of each tensor of the catalog
    std::vector<std::string> extra {};       ///< that only this side's checkpoint has
};

/// Sums over one side.
struct ComparedTotals {
    std::uint64_t bytes = 0;
    double bitsPerWeight = 0.0;  ///< bytes × 8 over all parameters
    double errorEnergy = 0.0;    ///< of the weight matrices; NaN where one was not measured
    double signalEnergy = 0.0;   ///< of the weight matrices
    double value = 0.0;          ///< sum of the metric where it adds up, else NaN
    std::size_t unknown = 0;     ///< weight matrices that were not measured, or not under their scheme
    std::size_t missing = 0;     ///< tensors that are not there

    double relativeError() const { return errorEnergy / signalEnergy; }
    double sqnrDb() const;  ///< infinite when lossless
};

/// Where two sides differ, and what each comes to.
struct Comparison {
    ErrorMetric metric = ErrorMetric::ModelError;
    std::array<ComparedSide, 2> sides {};
    std::array<ComparedTotals, 2> totals {};
    std::vector<double> signalEnergy {};    ///< Σw² of each tensor; NaN where not known
    std::vector<std::size_t> different {};  ///< tensors whose scheme, bytes or error differ, in the catalog's order

    double sqnrDb(std::size_t side, std::size_t tensor) const;
};

/// A recipe by what a study measured of its schemes; `model` is the study's catalog or one with the same tensors.
/// Tensors that the study does not have are not known.
ComparedSide comparedRecipe(
    const Recipe& recipe, const ModelCatalog& model, const StudySnapshot& study, ErrorMetric metric, std::string name);

/// A checkpoint by its audit against the model. Where it fuses or splits tensors, parts are added up.
ComparedSide comparedCheckpoint(const Audit& audit, const ModelCatalog& model, std::string name);

/// `study`: where the weights' own energies are found, if an audit does not tell. @pre both sides are of this model
Comparison compareSides(const ModelCatalog& model, const StudySnapshot& study, ErrorMetric metric, ComparedSide first,
    ComparedSide second, const std::vector<double>& auditedEnergy = {});

/// Σw² of the model's tensors as an audit saw them; NaN where it did not.
std::vector<double> auditedEnergy(const Audit& audit, const ModelCatalog& model);

}  // namespace quantloupe
