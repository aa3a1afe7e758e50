// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/measure.h"
#include "core/analysis/output_error.h"
#include "core/analysis/predicted_divergence.h"
#include "core/analysis/prepared_scheme.h"
#include "core/analysis/row_tiles.h"
#include "core/statistics/error_accumulator.h"

#include <tbb/enumerable_thread_specific.h>

#include <utility>

namespace quantloupe {

namespace {

/// One error accumulator per scheme.
struct SchemeErrors {
    std::vector<ErrorAccumulator> schemes;

    SchemeErrors& operator+=(const SchemeErrors& other)
    {
        for (std::size_t i = 0; i < schemes.size(); ++i)
            schemes[i] += other.schemes[i];
        return *this;
    }
};

}  // namespace

SchemeMeasurement describeSizes(const Scheme& scheme, const MatrixShape& shape)
{
    SchemeMeasurement measurement;
    measurement.scheme = scheme;
    measurement.storedBytes = scheme.storedBytes(shape);
    measurement.bitsPerWeight = shape.elements() == 0 ? 0.0 : scheme.bitsPerWeight(shape);
    measurement.rowErrorEnergy.resize(static_cast<std::size_t>(shape.rows));
    return measurement;
}

Result<std::vector<SchemeMeasurement>> measureErrors(const ModelTensor& tensor, std::span<const PreparedScheme> schemes,
    std::size_t bins, std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(tensor.view);
    std::vector<SchemeMeasurement> measurements;
    for (const auto& scheme : schemes) {
        measurements.push_back(describeSizes(scheme.quantizer.scheme(), shape));
        measurements.back().importance = scheme.importance;
        measurements.back().calibration = calibrationUsed(tensor);
    }

    struct ThreadScratch {
        QuantizerScratch quantizer {};
        std::vector<ErrorAccumulator::IntegerPart> together {};  ///< of one tile, measured in one pass
    };
    tbb::enumerable_thread_specific<ThreadScratch> scratches;
    auto errors = reduceTiles<SchemeErrors>(
        tensor, std::move(stop), progress,
        [&] {
            SchemeErrors empty;
            for (const auto& scheme : schemes)
                empty.schemes.emplace_back(scheme.quantizer.columns(), scheme.errorRange, bins);
            return empty;
        },
        [&](SchemeErrors& sums, const RowTile& tile) {
            auto& [scratch, together] = scratches.local();
            together.clear();
            for (std::size_t i = 0; i < schemes.size(); ++i) {
                if (const auto part =
                        schemes[i].integerPart(sums.schemes[i], tile, measurements[i].rowErrorEnergy, scratch)) {
                    if (schemes[i].givesGrids())  // in the scratch, which the next scheme needs
                        ErrorAccumulator::addIntegers(tile.weights, {&*part, 1});
                    else
                        together.push_back(*part);
                    continue;
                }
                forEachStep(schemes[i], tile, scratch,
                    [&](auto rows, auto quantized, std::size_t firstRow, std::size_t count, std::uint64_t clipped) {
                        const auto energies = std::span(measurements[i].rowErrorEnergy).subspan(firstRow, count);
                        sums.schemes[i].add(rows, quantized, energies);
                        sums.schemes[i].addClipped(clipped);
                    });
            }
            ErrorAccumulator::addIntegers(tile.weights, together);
        });
    if (!errors)
        return tl::unexpected(errors.error());
    for (std::size_t i = 0; i < measurements.size(); ++i) {
        measurements[i].error = errors->schemes[i].error();
        measurements[i].errorHistogram = errors->schemes[i].histogram();
        measurements[i].columnErrorEnergy = errors->schemes[i].columnErrorEnergy();
    }
    return measurements;
}

Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, const Model* model, std::stop_token stop, const ProgressShare& progress)
{
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    auto remaining = progress;
    const auto prepared = prepareSchemes(tensor, weights, schemes, model, stop, remaining);
    if (!prepared)
        return tl::unexpected(prepared.error());
    constexpr std::size_t bins = 256;
    if (!tensor.inputs)
        return measureErrors(tensor, *prepared, bins, std::move(stop), remaining);
    const auto [forErrors, forAll] = remaining.split(0.2);
    const auto [forOutputs, forPredictions] = forAll.split(tensor.inputs->loadCurvature ? 0.4 : 1.0);
    auto measurements = measureErrors(tensor, *prepared, bins, stop, forErrors);
    if (!measurements)
        return measurements;
    const auto outputs = measureOutputErrors(tensor, *prepared, stop, forOutputs);
    if (!outputs)
        return tl::unexpected(outputs.error());
    for (std::size_t i = 0; i < measurements->size(); ++i)
        (*measurements)[i].outputError = (*outputs)[i];
    if (!tensor.inputs->loadCurvature)
        return measurements;
    const auto predicted = predictDivergences(tensor, *prepared, std::move(stop), forPredictions);
    if (!predicted)
        return tl::unexpected(predicted.error());
    for (std::size_t i = 0; i < measurements->size(); ++i)
        (*measurements)[i].predicted = (*predicted)[i];
    return measurements;
}

Result<std::vector<SchemeMeasurement>> measureSchemes(const ModelTensor& tensor, const WeightStatistics& weights,
    std::span<const Scheme> schemes, std::stop_token stop, Progress& progress, const Model* model)
{
    return measureSchemes(tensor, weights, schemes, model, std::move(stop), ProgressShare(progress, tensor.bytes()));
}

}  // namespace quantloupe
