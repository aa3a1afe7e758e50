// SPDX-License-Identifier: GPL-3.0-or-later
// Quick looks at a few rows, shown until the exact result of inspect.h is there.
#pragma once

#include "core/analysis/inspect.h"

#include <cstdint>
#include <optional>
#include <stop_token>

namespace quantloupe {

/// What a sample of rows tells about a tensor under a scheme.
struct LayerSample {
    /// Counts (histograms, occupancy) and column energies are scaled up to the whole tensor, sizes are the tensor's,
    /// error figures the sample's. rowErrorEnergy is empty: most rows were not looked at.
    LayerInspection inspection;
    std::uint64_t rows = 0;  ///< looked at
};

/// Evenly spaced rows, about a quarter of a million weights (fewer where units are searched for: mse, tables, hqq), in
/// whole bands where blocks are several rows high. What depends on the whole tensor (one range, scales quantized
/// together) comes from the statistics where they hold it and else from the sample. Nothing where a sample would save
/// little (the tensor is hardly larger) or mislead (cle takes factors from another tensor). @pre `weights` are the
/// tensor's statistics. Errors: as for inspectLayer().
Result<std::optional<LayerSample>> inspectSample(
    const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme, std::stop_token stop);

/// The same for a map of all rows; `rectangle` chooses the columns. Nothing for a rectangle with fewer rows.
/// Errors: as for poolWeights().
Result<std::optional<WeightMap>> poolSample(const ModelTensor& tensor, const WeightStatistics& weights,
    const Scheme& scheme, MapQuantity quantity, const WeightMap& rectangle, std::uint32_t maxHeight,
    std::uint32_t maxWidth, std::stop_token stop);

}  // namespace quantloupe
