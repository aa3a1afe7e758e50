// SPDX-License-Identifier: GPL-3.0-or-later
// What some schemes must know of a whole tensor before its rows can be quantized. For use inside this room.
#pragma once

#include "core/analysis/prepared_scheme.h"

namespace quantloupe {

/// Finite range of a tensor as a scheme sees it, behind its transform.
struct TensorRange {
    float minimum = 0.0F, maximum = 0.0F;
    std::uint64_t count = 0;
    float absMax() const { return std::max(-minimum, maximum); }
};

/// Rotation, and cle's factors where `model` has the tensor's partner. Errors: Cancelled, Unsupported.
Result<WeightTransform> makeTransform(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    const Model* model, std::stop_token stop);

/// That of the statistics, or by a pass where the scheme transforms the weights and needs it.
Result<TensorRange> rangeBehind(const ModelTensor& tensor, const WeightStatistics& weights,
    const PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress);

/// The one grid of each scheme of tensor granularity, in passes that they share. ranges: one per scheme.
Result<void> searchTensorGrids(const ModelTensor& tensor, std::span<PreparedScheme* const> schemes,
    std::span<const TensorRange> ranges, std::stop_token stop, ProgressShare& progress);

/// All grids of a scheme whose units are several rows high or whose scales are quantized together.
Result<void> fitAllGrids(
    const ModelTensor& tensor, PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress);

/// Where hqq's iterations stop.
Result<void> searchHalfQuadratic(
    const ModelTensor& tensor, PreparedScheme& scheme, std::stop_token stop, ProgressShare& progress);

}  // namespace quantloupe
