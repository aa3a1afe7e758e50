// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/quantized_weights.h"

#include "core/analysis/measure.h"
#include "core/analysis/prepared_tensor.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace quantloupe {
namespace {

/// A scheme made ready for a tensor, with buffers for each thread.
struct ReadyScheme {
    PreparedScheme scheme;
    tbb::enumerable_thread_specific<QuantizerScratch> scratches {};
};

RowReplacer replacerOf(PreparedScheme scheme)
{
    const auto ready = std::make_shared<ReadyScheme>(ReadyScheme {.scheme = std::move(scheme)});
    return RowReplacer([ready](std::uint64_t firstRow, std::span<float> rows) {
        const auto columns = ready->scheme.quantizer.columns();
        const RowTile tile {.firstRow = firstRow, .rowCount = rows.size() / columns, .weights = rows};
        forEachStep(ready->scheme, tile, ready->scratches.local(),
            [&](std::span<const float>, std::span<const float> quantized, std::size_t first, std::size_t,
                std::uint64_t) {
                std::copy(quantized.begin(), quantized.end(),
                    rows.begin() + static_cast<std::ptrdiff_t>((first - firstRow) * columns));
            });
    });
}

Result<RowReplacer> prepare(const Model& model, std::size_t index, const Scheme& scheme, const std::stop_token& stop)
{
    auto prepared = prepareTensor(model, index, scheme, stop);
    if (!prepared)
        return tl::unexpected(prepared.error());
    const auto calibrated = prepared->scheme.calibrated;
    auto replacer = replacerOf(std::move(prepared->scheme));
    return calibrated && !calibrated->bias.empty() ? replacer.withOutputBias(calibrated->bias) : replacer;
}

}  // namespace

Result<PreparedTensor> prepareTensor(
    const Model& model, std::size_t index, const Scheme& scheme, const std::stop_token& stop)
{
    const auto& tensor = model.tensors[index];
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    Progress unseen;
    ProgressShare share(unseen, 0);
    auto weights = measureWeights(tensor, stop, share);
    if (!weights)
        return tl::unexpected(weights.error());
    auto prepared = prepareSchemes(tensor, *weights, std::span(&scheme, 1), &model, stop, share);
    if (!prepared)
        return tl::unexpected(prepared.error());
    return PreparedTensor {std::move(*weights), std::move(prepared->front())};
}

Result<WeightHook> quantizedWeights(const Model& model, const Plan& plan, std::stop_token stop)
{
    if (plan.tensors.size() != model.tensors.size())
        return failure(ErrorCode::Conflict, model.path.string(), "the plan was made for another model");
    std::vector<std::optional<Scheme>> schemes(model.tensors.size());
    const auto calibration = calibrationOf(model);
    for (const auto& planned : plan.tensors) {
        if (planned.scheme)
            if (auto built = requireBuilt(*planned.scheme, calibration); !built)
                return tl::unexpected(built.error());
        schemes[planned.tensor] = planned.scheme;
    }
    return WeightHook(
        [&model, schemes = std::move(schemes), stop = std::move(stop)](std::size_t tensor) -> Result<RowReplacer> {
            return schemes[tensor] ? prepare(model, tensor, *schemes[tensor], stop) : RowReplacer();
        });
}

}  // namespace quantloupe
