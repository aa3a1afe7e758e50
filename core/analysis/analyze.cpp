// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"

#include "core/analysis/measure.h"
#include "core/base/compute_arena.h"
#include "core/kernels/dense_algebra.h"
#include "core/number_formats/quantizer.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace quantloupe {

namespace {

Result<TensorMeasurement> measureTensor(const Model& model, const ModelTensor& tensor, std::span<const Scheme> schemes,
    std::stop_token stop, const ProgressShare& progress)
{
    const auto held = holdReadable(tensor, stop);  // once for both
    if (!held)
        return tl::unexpected(held.error());
    // Both passes over the weights take about as long as one scheme.
    const auto [first, second] = progress.split(1.0 / (1.0 + static_cast<double>(schemes.size())));
    auto weights = measureWeights(tensor, stop, first, betweenPasses(tensor));
    if (!weights)
        return tl::unexpected(weights.error());
    auto measured = measureSchemes(tensor, *weights, schemes, &model, stop, second);
    if (!measured)
        return tl::unexpected(measured.error());
    return TensorMeasurement {.tensor = tensor.name, .weights = std::move(*weights), .schemes = std::move(*measured)};
}

/// How many units from the first of these on to measure at the same time. While one thread alone chooses the ranges of
/// one tensor, others can pass over the next. Only small tensors, so that little is in memory, and none whose inputs
/// are known: those are large, and their schemes take long.
std::size_t takenTogether(const Model& model, std::span<const WorkUnit> work)
{
    constexpr std::size_t mostUnits = 16;
    constexpr std::uint64_t mostBytes = std::uint64_t {64} << 20U;
    std::uint64_t bytes = 0;
    std::size_t count = 0;
    for (const auto& unit : work.first(std::min(mostUnits, work.size()))) {
        const auto& tensor = model.tensors[unit.tensor];
        bytes += tensor.bytes();
        if (bytes > mostBytes || tensor.inputs)
            break;
        ++count;
    }
    return std::max<std::size_t>(1, count);
}

}  // namespace

std::uint64_t importanceUsed(const ModelTensor& tensor, const Scheme& scheme)
{
    // Behind a transform errors lie in other columns, or count differently: there is nothing to weigh them by.
    if (!tensor.importance || uses(scheme, Algorithm::Hadamard) || uses(scheme, Algorithm::Equalization))
        return 0;
    const auto quantizer = Quantizer::create(scheme, static_cast<std::size_t>(matrixShape(tensor.view).columns));
    return quantizer && quantizer->usesImportance() ? tensor.importance->fingerprint : 0;
}

std::uint64_t calibrationUsed(const ModelTensor& tensor)
{
    return tensor.inputs ? tensor.inputs->fingerprint : 0;
}

Calibration calibrationOf(const Model& model)
{
    const bool any = std::any_of(
        model.tensors.begin(), model.tensors.end(), [](const ModelTensor& tensor) { return tensor.inputs != nullptr; });
    return any ? Calibration::Given : Calibration::Absent;
}

Result<void> requireBuilt(const Scheme& scheme, Calibration calibration)
{
    // Any width does: what is built does not depend on it.
    constexpr std::size_t someColumns = 256;
    if (auto quantizer = Quantizer::create(scheme, someColumns); !quantizer)
        return tl::unexpected(quantizer.error());
    if (auto reason = algorithmRefusal(scheme, needsInputs(scheme) ? calibration : Calibration::Absent);
        !reason.empty())
        return failure(ErrorCode::Unsupported, "scheme '" + scheme.toString() + "'", std::move(reason));
    return {};
}

Result<void> analyze(const Model& model, std::span<const WorkUnit> work, unsigned threads, std::stop_token stop,
    Progress& progress, const MeasurementSink& sink)
{
    std::uint64_t totalBytes = 0;
    for (const auto& unit : work) {
        if (unit.tensor >= model.tensors.size())
            return failure(
                ErrorCode::InvalidArgument, model.path.string(), "the work list names a tensor that is not there");
        const auto& tensor = model.tensors[unit.tensor];
        totalBytes += tensor.bytes();
        // Before hours of work, not in their midst.
        if (auto able = tensor.inputs ? kernels::requireProducts() : Result<void>(); !able)
            return able;
        for (const auto& scheme : unit.schemes)
            if (auto built = requireBuilt(scheme, calibrationOf(model)); !built)
                return built;
    }
    progress.totalBytes = totalBytes;
    progress.totalItems = static_cast<std::uint32_t>(work.size());

    ComputeArena arena(threads);
    while (!work.empty()) {
        const auto units = work.first(takenTogether(model, work));
        std::vector<Result<TensorMeasurement>> measured(units.size());
        arena.execute([&] {
            tbb::parallel_for(std::size_t {0}, units.size(), [&](std::size_t i) {
                const auto& tensor = model.tensors[units[i].tensor];
                measured[i] =
                    measureTensor(model, tensor, units[i].schemes, stop, ProgressShare(progress, tensor.bytes()));
                releaseBytes(tensor.view);
            });
        });
        // What is measured is not lost because another was stopped or failed.
        Result<void> outcome {};
        for (auto& one : measured) {
            if (!one) {
                if (outcome)
                    outcome = tl::unexpected(one.error());
                continue;
            }
            if (auto taken = sink(std::move(*one)); !taken)
                return taken;
            ++progress.doneItems;
        }
        if (!outcome)
            return outcome;
        work = work.subspan(units.size());
    }
    return {};
}

}  // namespace quantloupe
