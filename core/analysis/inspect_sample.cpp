// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect_sample.h"

#include "core/algorithms/combinations.h"
#include "core/analysis/measure.h"
#include "core/analysis/spread_rows.h"
#include "core/number_formats/quantizer.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quantloupe {

namespace {

constexpr std::uint64_t sampledWeights = std::uint64_t {1} << 18U;
/// Where every unit is searched for, which takes tens of times as long.
constexpr std::uint64_t searchedWeights = std::uint64_t {1} << 16U;
/// A tensor with fewer than so many times the sample's weights is inspected as a whole at once.
constexpr std::uint64_t worthwhile = 4;

/// Some rows as a tensor of their own.
struct SampledTensor {
    std::vector<float> values {};
    ModelTensor tensor {};  ///< borrows values
    WeightStatistics weights {};
    std::uint64_t rows = 0;
};

bool searchesUnits(const Scheme& scheme)
{
    return traitsOf(scheme.format).family == FormatFamily::LookUpTable || scheme.range.kind == RangeEstimator::Kind::Mse
        || uses(scheme, Algorithm::Hqq);
}

Result<std::optional<SampledTensor>> takeSample(
    const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme, const std::stop_token& stop)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(tensor.view);
    const auto quantizer = Quantizer::create(scheme, static_cast<std::size_t>(shape.columns));
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    if (uses(scheme, Algorithm::Equalization) || shape.elements() < worthwhile * sampledWeights)
        return std::nullopt;
    const auto rows =
        spreadRows(shape, quantizer->rowsPerUnit(), searchesUnits(scheme) ? searchedWeights : sampledWeights);
    const auto columns = static_cast<std::size_t>(shape.columns);
    if (rows.size() * columns * worthwhile > shape.elements())
        return std::nullopt;

    SampledTensor sample;
    sample.rows = rows.size();
    sample.values.resize(rows.size() * columns);
    sample.weights = weights;
    sample.weights.rowAbsMax.clear();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (stop.stop_requested())
            return cancelled(tensor);
        decodeRows(tensor.view, rows[i], 1, std::span(sample.values).subspan(i * columns, columns));
        if (rows[i] < weights.rowAbsMax.size())
            sample.weights.rowAbsMax.push_back(weights.rowAbsMax[static_cast<std::size_t>(rows[i])]);
    }
    sample.weights.moments.count = static_cast<std::uint64_t>(
        std::count_if(sample.values.begin(), sample.values.end(), [](float x) { return std::isfinite(x); }));
    sample.tensor.name = tensor.name;
    sample.tensor.parts = tensor.parts;
    sample.tensor.view.dtype = DType::F32;
    sample.tensor.view.shape = {rows.size(), shape.columns};
    sample.tensor.view.bytes = std::as_bytes(std::span(sample.values));
    sample.tensor.importance = importanceOfRows(tensor.importance, shape.rows, rows);
    return sample;
}

void scale(std::vector<std::uint64_t>& counts, double factor)
{
    for (auto& count : counts)
        count = static_cast<std::uint64_t>(std::llround(static_cast<double>(count) * factor));
}

void scale(Histogram& histogram, double factor)
{
    scale(histogram.counts, factor);
    histogram.underflow = static_cast<std::uint64_t>(std::llround(static_cast<double>(histogram.underflow) * factor));
    histogram.overflow = static_cast<std::uint64_t>(std::llround(static_cast<double>(histogram.overflow) * factor));
}

}  // namespace

Result<std::optional<LayerSample>> inspectSample(
    const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme, std::stop_token stop)
{
    const auto sample = takeSample(tensor, weights, scheme, stop);
    if (!sample)
        return tl::unexpected(sample.error());
    if (!*sample)
        return std::nullopt;
    Progress unseen;
    auto inspection = inspectLayer((*sample)->tensor, (*sample)->weights, scheme, std::move(stop), unseen);
    if (!inspection)
        return tl::unexpected(inspection.error());
    const auto shape = matrixShape(tensor.view);
    const double factor = static_cast<double>(shape.rows) / static_cast<double>((*sample)->rows);
    scale(inspection->quantizedHistogram, factor);
    scale(inspection->measurement.errorHistogram, factor);
    scale(inspection->occupancy, factor);
    for (float& energy : inspection->measurement.columnErrorEnergy)
        energy *= static_cast<float>(factor);
    inspection->measurement.rowErrorEnergy.clear();
    const auto sizes = describeSizes(scheme, shape);
    inspection->measurement.storedBytes = sizes.storedBytes;
    inspection->measurement.bitsPerWeight = sizes.bitsPerWeight;
    return LayerSample {std::move(*inspection), (*sample)->rows};
}

Result<std::optional<WeightMap>> poolSample(const ModelTensor& tensor, const WeightStatistics& weights,
    const Scheme& scheme, MapQuantity quantity, const WeightMap& rectangle, std::uint32_t maxHeight,
    std::uint32_t maxWidth, std::stop_token stop)
{
    const auto shape = matrixShape(tensor.view);
    if (rectangle.firstRow != 0 || rectangle.rows < shape.rows)
        return std::nullopt;
    const auto sample = takeSample(tensor, weights, scheme, stop);
    if (!sample)
        return tl::unexpected(sample.error());
    if (!*sample)
        return std::nullopt;
    auto map = poolWeights(
        (*sample)->tensor, (*sample)->weights, scheme, quantity, rectangle, maxHeight, maxWidth, std::move(stop));
    if (!map)
        return tl::unexpected(map.error());
    map->rows = shape.rows;
    return std::move(*map);
}

}  // namespace quantloupe
