// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"

#include "core/analysis/measure.h"
#include "core/base/compute_arena.h"
#include "core/number_formats/quantizer.h"

#include <algorithm>
#include <utility>

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
        totalBytes += model.tensors[unit.tensor].bytes();
        // Before hours of work, not in their midst.
        for (const auto& scheme : unit.schemes)
            if (auto built = requireBuilt(scheme, calibrationOf(model)); !built)
                return built;
    }
    progress.totalBytes = totalBytes;
    progress.totalItems = static_cast<std::uint32_t>(work.size());

    ComputeArena arena(threads);
    for (const auto& unit : work) {
        const auto& tensor = model.tensors[unit.tensor];
        auto measured = arena.execute(
            [&] { return measureTensor(model, tensor, unit.schemes, stop, ProgressShare(progress, tensor.bytes())); });
        releaseBytes(tensor.view);
        if (!measured)
            return tl::unexpected(measured.error());
        if (auto taken = sink(std::move(*measured)); !taken)
            return taken;
        ++progress.doneItems;
    }
    return {};
}

}  // namespace quantloupe
