// SPDX-License-Identifier: GPL-3.0-or-later
// A scheme made ready for one tensor. For use inside this room.
#pragma once

#include "core/analysis/row_tiles.h"
#include "core/kernels/fused_integer.h"
#include "core/model/model.h"
#include "core/number_formats/quantizer.h"
#include "core/statistics/error_accumulator.h"
#include "core/statistics/weight_statistics.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Buffers that one task reuses from tile to tile.
struct QuantizerScratch {
    std::vector<UnitGrid> grids {};
    std::vector<float> quantized {};
    std::optional<kernels::PairedHistogram> pairs {};
};

/// A quantizer with all that must be known about the whole tensor before its tiles can be worked on one by one.
struct PreparedScheme {
    Quantizer quantizer;
    UnitGrid tensorGrid {};   ///< Granularity::Tensor only
    double errorRange = 0.0;  ///< R of the error histogram
    /// The same for the fused kernel, where it can do this scheme. Grids are missing.
    std::optional<kernels::IntegerScheme> integers {};

    /// Adds a tile's errors by the fused kernel; rowErrorEnergy: of all rows of the tensor. False, and nothing added,
    /// where it cannot do this scheme.
    bool addFused(ErrorAccumulator& errors, const RowTile& tile, std::span<float> rowErrorEnergy,
        QuantizerScratch& scratch) const;
    /// Quantizes whole rows into scratch.quantized with the grids left in scratch.grids. Returns the clipped weights.
    std::uint64_t quantize(std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const;
};

/// Whole rows that are quantized at a time, so that originals, results and errors stay in the first-level cache.
std::size_t rowsPerStep(std::size_t columns);

/// Quantizes a tile step by step: each(rows, quantized, firstRow, rowCount, clipped), scratch holding the step's grids.
template<class Each>
void forEachStep(const PreparedScheme& scheme, const RowTile& tile, QuantizerScratch& scratch, const Each& each)
{
    const auto columns = scheme.quantizer.columns();
    const auto step = rowsPerStep(columns);
    for (std::size_t row = 0; row < tile.rowCount; row += step) {
        const auto count = std::min(step, tile.rowCount - row);
        const auto rows = tile.weights.subspan(row * columns, count * columns);
        const auto clipped = scheme.quantize(rows, count, scratch);
        each(rows, std::span(scratch.quantized), static_cast<std::size_t>(tile.firstRow) + row, count, clipped);
    }
}

/// Finds the grids of tensor-granularity schemes, all in the same passes, and the ranges of the error histograms.
/// Errors: Cancelled, Unsupported.
Result<std::vector<PreparedScheme>> prepareSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, ProgressShare& progress);

}  // namespace quantloupe
