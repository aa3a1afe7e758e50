// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/analysis/analyze.h"
#include "core/statistics/error_shares.h"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Error energy by its cause, weight units squared. Their sum is the whole, within rounding of a double.
struct ErrorSplit {
    double rounding = 0.0;
    double clipping = 0.0;  ///< of weights beyond the lowest and highest value of their unit
    bool operator==(const ErrorSplit&) const = default;
};

/// What the Layer page shows beyond a measurement: computed live for one tensor and one scheme, never stored.
struct LayerInspection {
    SchemeMeasurement measurement;
    Histogram quantizedHistogram;  ///< of ŵ, with the bins of the weight histogram
    /// Finite values that the codes of a typical unit stand for, ascending: the unit whose scale is the median over the
    /// rows of each row's median. Empty above 256 levels.
    std::vector<float> levels;
    /// How often each of these codes occurs among the finite weights: occupancy[i] belongs to levels[i].
    std::vector<std::uint64_t> occupancy;
    double entropyBits = 0.0;  ///< of the codes: bits per weight actually used
    std::uint64_t codes = 0;   ///< that the format has; 0 above 65,536
    std::uint64_t codesUsed = 0;

    /// measurement.error.errorEnergy in two. Absent where units have no ends of their own: behind cle, hadamard and
    /// biascorr, and for formats without grids (ggml's blocks, look-up tables); and where the energy is infinite.
    std::optional<ErrorSplit> split {};
    /// The channels that carry most of the error, largest first, equals by index; at most 16 of each.
    std::vector<ChannelShare> topOutputChannels {}, topInputChannels {};
    /// The same for the weights of a row that share a scale (under a rotation: runs of that length; where rows or the
    /// tensor share one: rows). Energies are sums of doubles.
    std::vector<GroupEnergy> topGroups {};
    std::size_t groups = 0;   ///< of that kind, in all
    bool levelsShown = true;  ///< whether ŵ lie on levels: not behind a rotation, factors or a correction of channels
};

/// @pre `weights` are the tensor's statistics. `model`: as for measureSchemes(). Errors: Cancelled, Unsupported,
/// Truncated, Malformed (a histogram that cannot be filled).
Result<LayerInspection> inspectLayer(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    std::stop_token stop, Progress& progress, const Model* model = nullptr);

/// Which values a weight map shows.
enum class MapQuantity : std::uint8_t { Weights, Error, AbsError, Codes };

/// A rectangle of the matrix pooled to a raster: where a cell covers several weights it shows the one
/// largest in size (Codes: the code of that weight), the first of equals; NaN where any of them is not finite.
struct WeightMap {
    MapQuantity quantity = MapQuantity::Weights;
    std::uint64_t firstRow = 0, firstColumn = 0, rows = 0, columns = 0;  ///< the rectangle shown
    std::uint32_t height = 0, width = 0;                                 ///< the raster
    std::vector<float> cells;                                            ///< row-major, height × width
};

/// Pools a rectangle, cut to the matrix, to at most maxHeight × maxWidth cells; real values where it is no larger than
/// that. `scheme` is not used for MapQuantity::Weights. Errors: Cancelled, Unsupported.
Result<WeightMap> poolWeights(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    MapQuantity quantity, const WeightMap& rectangle, std::uint32_t maxHeight, std::uint32_t maxWidth,
    std::stop_token stop, const Model* model = nullptr);

}  // namespace quantloupe
