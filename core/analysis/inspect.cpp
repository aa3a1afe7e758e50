// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/inspect.h"

#include "core/analysis/measure.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/unit_ends.h"
#include "core/kernels/code_counts.h"
#include "core/statistics/error_accumulator.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

namespace quantloupe {

namespace {

constexpr std::size_t mostLevels = 256;
constexpr std::size_t mostNamed = 16;

struct InspectionSums {
    ErrorAccumulator error;
    HistogramFiller quantized;
    ErrorShares shares;
    std::vector<std::uint64_t> codes;  ///< by code

    InspectionSums& operator+=(const InspectionSums& other)
    {
        error += other.error;
        quantized += other.quantized;
        shares += other.shares;
        std::transform(codes.begin(), codes.end(), other.codes.begin(), codes.begin(), std::plus<> {});
        return *this;
    }
};

struct InspectionScratch {
    QuantizerScratch quantizer {};
    std::vector<std::uint32_t> codes {};
    std::vector<UnitEnds> ends {};
    std::vector<std::uint64_t> ranks {};
};

/// Adds how often each code occurs among those of finite weights.
void countFiniteCodes(std::span<const std::uint32_t> codes, std::span<const float> weights, bool allFinite,
    std::vector<std::uint64_t>& counts)
{
    if (allFinite && counts.size() <= kernels::mostCountedCodes) {
        std::array<std::uint32_t, kernels::mostCountedCodes> some {};
        kernels::countCodes(codes, std::span(some).first(counts.size()));
        for (std::size_t code = 0; code < counts.size(); ++code)
            counts[code] += some[code];
        return;
    }
    for (std::size_t i = 0; i < codes.size(); ++i)
        counts[codes[i]] += std::isfinite(weights[i]) ? 1U : 0U;
}

double entropyOf(std::span<const std::uint64_t> counts)
{
    const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::uint64_t {0}));
    double bits = 0.0;
    for (const auto count : counts)
        if (count != 0)
            bits -= static_cast<double>(count) / total * std::log2(static_cast<double>(count) / total);
    return bits;
}

/// A whole number for each grid, in the order of scales, which are above zero, and of equal ones that of zeros.
std::uint64_t rankOf(const UnitGrid& grid)
{
    constexpr std::uint32_t sign = 0x80000000U;
    const auto zero = std::bit_cast<std::uint32_t>(grid.zero);
    return static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(grid.scale)) << 32U
        | ((zero & sign) != 0 ? ~zero : zero | sign);
}

/// The grid with the median scale; of an even number the lower one, so that it is one that occurs.
UnitGrid medianGrid(std::span<const UnitGrid> grids, std::vector<std::uint64_t>& ranks)
{
    if (grids.empty())
        return {};
    ranks.resize(grids.size());
    std::transform(grids.begin(), grids.end(), ranks.begin(), rankOf);
    const auto middle = ranks.begin() + static_cast<std::ptrdiff_t>((ranks.size() - 1) / 2);
    std::nth_element(ranks.begin(), middle, ranks.end());
    return *std::find_if(grids.begin(), grids.end(), [&](const UnitGrid& grid) { return rankOf(grid) == *middle; });
}

/// Puts counts by code into the order of the values the codes stand for, leaving out codes of NaN and infinities.
void orderByValue(std::span<const float> values, std::span<const std::uint64_t> counts, LayerInspection& inspection)
{
    std::vector<std::size_t> order;
    for (std::size_t code = 0; code < values.size(); ++code)
        if (std::isfinite(values[code]))
            order.push_back(code);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    for (const auto code : order) {
        // Minifloats have two zeros: one level.
        if (values[code] == 0.0F && !inspection.levels.empty() && inspection.levels.back() == 0.0F) {
            inspection.occupancy.back() += counts[code];
            continue;
        }
        inspection.levels.push_back(values[code]);
        inspection.occupancy.push_back(counts[code]);
    }
}

/// The levels in the middle of the row whose largest weight is the median one.
std::vector<float> typicalLevels(const ModelTensor& tensor, const WeightStatistics& weights, const Quantizer& quantizer)
{
    const auto shape = matrixShape(tensor.view);
    if (shape.elements() == 0)
        return {};
    std::vector<std::uint64_t> order(static_cast<std::size_t>(shape.rows));
    std::iota(order.begin(), order.end(), std::uint64_t {0});
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>((order.size() - 1) / 2);
    if (weights.rowAbsMax.size() == order.size())
        std::nth_element(order.begin(), middle, order.end(), [&](std::uint64_t a, std::uint64_t b) {
            return std::pair(weights.rowAbsMax[a], a) < std::pair(weights.rowAbsMax[b], b);
        });
    std::vector<float> row(quantizer.columns());
    decodeRows(tensor.view, *middle, 1, row);
    return quantizer.levelsAt(row, row.size() / 2);
}

}  // namespace

Result<LayerInspection> inspectLayer(const ModelTensor& tensor, const WeightStatistics& weights, const Scheme& scheme,
    std::stop_token stop, Progress& progress, const Model* model)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    // Statistics may come from a study, which keeps whatever was written to it.
    if (!isFillable(weights.histogram))
        return failure(ErrorCode::Malformed, tensor.name,
            "its weight histogram in the study has more bins than can be counted, or ends that no weight can have");
    ProgressShare share(progress, tensor.bytes());
    const auto prepared = prepareSchemes(tensor, weights, {&scheme, 1}, model, stop, share);
    if (!prepared)
        return tl::unexpected(prepared.error());
    const auto& ready = prepared->front();

    const auto shape = matrixShape(tensor.view);
    LayerInspection inspection;
    inspection.measurement = describeSizes(scheme, shape);
    inspection.measurement.importance = ready.importance;
    inspection.measurement.calibration = calibrationUsed(tensor);
    inspection.codes = ready.quantizer.codeCount();
    const UnitEndsFinder ends(ready);
    inspection.levelsShown = ready.keepsLevels();
    std::vector<UnitGrid> rowGrids(ready.quantizer.hasGrids() ? static_cast<std::size_t>(shape.rows) : 0);
    tbb::enumerable_thread_specific<InspectionScratch> scratches;

    auto sums = reduceTiles<InspectionSums>(
        tensor, stop, share,
        [&] {
            return InspectionSums {.error = ErrorAccumulator(ready.quantizer.columns(), ready.errorRange),
                .quantized = HistogramFiller(weights.histogram),
                .shares = ErrorShares(ready.quantizer.columns(), ready.quantizer.unitLength(), mostNamed),
                .codes = std::vector<std::uint64_t>(ready.quantizer.codeCount())};
        },
        [&](InspectionSums& total, const RowTile& tile) {
            auto& scratch = scratches.local();
            // As measureSchemes() does it: the figures must be the same.
            const auto part =
                ready.integerPart(total.error, tile, inspection.measurement.rowErrorEnergy, scratch.quantizer);
            if (part)
                ErrorAccumulator::addIntegers(tile.weights, {&*part, 1});
            forEachStep(ready, tile, scratch.quantizer,
                [&](std::span<const float> rows, std::span<float> quantized, std::size_t firstRow, std::size_t count,
                    std::uint64_t clipped) {
                    if (!part) {
                        total.error.add(
                            rows, quantized, std::span(inspection.measurement.rowErrorEnergy).subspan(firstRow, count));
                        total.error.addClipped(clipped);
                    }
                    if (ends.isDefined())
                        ends.find(count, scratch.quantizer, scratch.ends);
                    total.shares.add(rows, quantized, firstRow, scratch.ends);
                    if (!total.codes.empty()) {
                        scratch.codes.resize(rows.size());
                        ready.encode(firstRow, count, scratch.codes, scratch.quantizer);
                        countFiniteCodes(scratch.codes, rows, weights.nonFinite == 0, total.codes);
                    }
                    if (weights.nonFinite != 0)
                        for (std::size_t i = 0; i < rows.size(); ++i)
                            if (!std::isfinite(rows[i]))
                                quantized[i] = std::numeric_limits<float>::quiet_NaN();
                    total.quantized.add(quantized);
                    const std::span<const UnitGrid> grids = scratch.quantizer.grids;
                    const auto units = ready.quantizer.unitsPerRow();
                    for (std::size_t row = 0; row < count && !grids.empty(); ++row) {
                        const auto band = (scratch.quantizer.rowInBand + row) / ready.quantizer.rowsPerUnit();
                        const auto own =
                            ready.quantizer.wholeTensor() ? grids.first(1) : grids.subspan(band * units, units);
                        rowGrids[firstRow + row] = medianGrid(own, scratch.ranks);
                    }
                });
        });
    if (!sums)
        return tl::unexpected(sums.error());

    inspection.measurement.error = sums->error.error();
    inspection.measurement.errorHistogram = sums->error.histogram();
    inspection.measurement.columnErrorEnergy = sums->error.columnErrorEnergy();
    inspection.topOutputChannels = loudestChannels(inspection.measurement.rowErrorEnergy, mostNamed);
    inspection.topInputChannels = loudestChannels(inspection.measurement.columnErrorEnergy, mostNamed);
    inspection.topGroups = sums->shares.loudestGroups();
    inspection.groups = inspection.measurement.rowErrorEnergy.size() * sums->shares.groupsPerRow();
    if (ends.isDefined() && std::isfinite(inspection.measurement.error.errorEnergy)) {
        // The whole was summed in a kernel's order; parts of it stay parts of it.
        const double whole = inspection.measurement.error.errorEnergy;
        const double clipping = whole * sums->shares.clippingShare();
        inspection.split = ErrorSplit {.rounding = whole - clipping, .clipping = clipping};
    }
    inspection.codesUsed = static_cast<std::uint64_t>(
        std::count_if(sums->codes.begin(), sums->codes.end(), [](std::uint64_t count) { return count != 0; }));
    inspection.quantizedHistogram = sums->quantized.histogram();
    inspection.entropyBits = sums->codes.empty() ? std::numeric_limits<double>::quiet_NaN() : entropyOf(sums->codes);
    std::vector<std::uint64_t> ranks;
    if (!sums->codes.empty() && sums->codes.size() <= mostLevels)
        orderByValue(ready.quantizer.hasGrids() ? ready.quantizer.levels(medianGrid(rowGrids, ranks))
                                                : typicalLevels(tensor, weights, ready.quantizer),
            sums->codes, inspection);
    return inspection;
}

}  // namespace quantloupe
