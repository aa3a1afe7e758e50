// SPDX-License-Identifier: GPL-3.0-or-later
// A scheme made ready for one tensor. For use inside this room.
#pragma once

#include "core/algorithms/hqq.h"
#include "core/algorithms/weight_transform.h"
#include "core/analysis/calibrated_tensor.h"
#include "core/analysis/row_tiles.h"
#include "core/kernels/fused_integer.h"
#include "core/model/model.h"
#include "core/number_formats/quantizer.h"
#include "core/statistics/error_accumulator.h"
#include "core/statistics/weight_statistics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

struct PreparedScheme;

/// Grids of a tile that were searched for already: a search can cost a hundred times what it is for.
struct TileGrids {
    const PreparedScheme* owner = nullptr;
    std::uint64_t firstRow = 0;
    std::size_t rowCount = 0;
    std::vector<UnitGrid> grids {};
};

/// Buffers that one task reuses from tile to tile.
struct QuantizerScratch {
    std::span<const float> source {};  ///< what was quantized: the rows, or what the scheme's transform made of them
    std::vector<UnitGrid> grids {};
    std::size_t rowInBand = 0;  ///< the first row's, in the band of units that grids begin with
    std::vector<float> quantized {};
    std::vector<std::byte> packed {};  ///< of formats without grids: the rows' bytes, whose search is not made twice
    TransformScratch transform {};
    std::vector<float> transformed {};
    TileGrids tile {};
};

/// A quantizer with all that must be known about the whole tensor before its tiles can be worked on one by one.
/// Rows go through the transform (equalization, rotation), the grids, rounding, the transform's way back and the
/// correction of each channel, in this order.
struct PreparedScheme {
    Quantizer quantizer;  ///< of stacks that are weighed matrix by matrix: by the mean, for what spans them
    /// One for each matrix of such a stack.
    std::vector<Quantizer> slices {};
    std::uint64_t rowsPerSlice = 0;
    std::uint64_t importance = 0;  ///< fingerprint of what errors are weighed by; 0: they are not
    WeightTransform transform {};
    /// Grids that were found beforehand: one (Granularity::Tensor), or those of the whole tensor, in order (two-
    /// dimensional blocks, scales that are quantized together). Empty where each step fits its own rows.
    std::shared_ptr<const std::vector<UnitGrid>> grids {};
    std::shared_ptr<const HalfQuadraticSearch> halfQuadratic {};  ///< of hqq: fits the rows
    bool correctsChannels = false;                                ///< of biascorr
    std::shared_ptr<const CalibratedTensor> calibrated {};        ///< all of it, where inputs decided
    double errorRange = 0.0;                                      ///< R of the error histogram
    /// What the fused kernel is to do, where it can do this scheme; grids are missing.
    std::optional<kernels::IntegerScheme> integers {};

    /// What the fused kernel is to add for a tile, where it can do this scheme; rowErrorEnergy: of all rows of the
    /// tensor. Grids may lie in the scratch.
    std::optional<ErrorAccumulator::IntegerPart> integerPart(ErrorAccumulator& errors, const RowTile& tile,
        std::span<float> rowErrorEnergy, QuantizerScratch& scratch) const;
    /// Whether the fused kernel is handed the grids of each tile, and does not make them.
    bool givesGrids() const { return integers && integers->rule == kernels::IntegerRule::Given; }
    /// Quantizes whole rows into scratch.quantized with the grids left in scratch.grids. Returns the clipped weights.
    std::uint64_t quantize(
        std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const;
    /// The codes of the rows that were quantized last, with the same scratch.
    void encode(std::uint64_t firstRow, std::size_t rowCount, std::span<std::uint32_t> codes,
        const QuantizerScratch& scratch) const;
    /// The bytes of whole rows of a format without grids. @pre keepsLevels(), !quantizer.hasGrids()
    void pack(
        std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, std::span<std::byte> bytes) const;

    /// Whether ŵ are values of the grids, on the weights' own axis.
    bool keepsLevels() const
    {
        return transform.isIdentity() && !correctsChannels && (!calibrated || calibrated->keepsLevels());
    }

private:
    /// each(quantizer, first of these rows, how many) for runs of rows that one quantizer serves.
    template<class Each>
    void forEachSlice(std::uint64_t firstRow, std::size_t rowCount, const Each& each) const;
    void chooseGrids(std::uint64_t firstRow, std::size_t rowCount, QuantizerScratch& scratch) const;
    void takeGrids(const std::vector<UnitGrid>& all, std::uint64_t firstRow, std::size_t rowCount,
        QuantizerScratch& scratch) const;
    std::uint64_t quantizeCalibrated(
        std::uint64_t firstRow, std::span<const float> rows, std::size_t rowCount, QuantizerScratch& scratch) const;
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
        const auto first = static_cast<std::size_t>(tile.firstRow) + row;
        const auto clipped = scheme.quantize(first, rows, count, scratch);
        each(rows, std::span(scratch.quantized), first, count, clipped);
    }
}

/// Finds the grids of tensor-granularity schemes, all in the same passes, what other schemes must know of the whole
/// tensor, one scheme after the other, and the ranges of the error histograms. `model` is where cle finds the tensor's
/// partner; without one, or without a partner, it changes nothing. Schemes that need the tensor's inputs are carried
/// out whole. Errors: Cancelled, Unsupported.
Result<std::vector<PreparedScheme>> prepareSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, const Model* model, std::stop_token stop, ProgressShare& progress);

}  // namespace quantloupe
