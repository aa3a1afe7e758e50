// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/gated.h"

#include "core/inference/operations.h"

#include <utility>

namespace quantloupe {
namespace {

/// activation(gate) · up, the inputs of `down`, in the memory of gate and up.
kernels::ConstMatrix activatedOf(const BlockRun& run, const GatedLayers& layers, const LoadedGated& weights,
    const TileInputs& inputs, std::vector<float>& between)
{
    const auto rows = inputs.values.rows;
    if (rows == 0)
        return {};
    const auto wide = weights.gateUp.outputs;
    const auto inner = weights.down.inputs;
    between.resize(rows * wide);
    const kernels::MutableMatrix gateUp {between.data(), rows, wide, wide};
    multiplyInputs(run, layers.gateUp, weights.gateUp, inputs, gateUp);
    const kernels::MutableMatrix activated {between.data(), rows, inner, inner};
    activateRows(gateUp, run.decoder.gated, run.decoder.activation, activated);
    return activated;
}

}  // namespace

Result<LoadedGated> loadGated(const BlockRun& run, const GatedLayers& layers)
{
    auto gateUp = loadLayers(*run.decoder.model, layers.gateUp, run.replacers, run.stop);
    if (!gateUp)
        return tl::unexpected(gateUp.error());
    auto down = loadLayers(*run.decoder.model, std::span(&layers.down, 1), run.replacers, run.stop);
    if (!down)
        return tl::unexpected(down.error());
    return LoadedGated {std::move(*gateUp), std::move(*down)};
}

GatedRanges measureGated(const BlockRun& run, const GatedLayers& layers, const LoadedGated& weights,
    std::span<const TokenTile> tiles, const GateInputs& inputsOf)
{
    GatedRanges ranges;
    if (needsRange(run.inputs, layers.gateUp))
        ranges.gateUp = measureRanges(tiles, run.stop, inputsOf);
    if (!needsRange(run.inputs, std::span(&layers.down, 1)))
        return ranges;
    const LayerObserver nobody;
    const BlockRun unseen {
        run.decoder, run.tables, run.replacers, nobody, run.stop, run.inputs, run.cache, run.divisors};
    ranges.down = measureRanges(tiles, run.stop, [&](const TokenTile& tile, std::vector<float>& between) {
        std::vector<float> gathered;
        return activatedOf(unseen, layers, weights,
            {.values = inputsOf(tile, gathered), .range = rangeIn(ranges.gateUp, tile.call)}, between);
    });
    return ranges;
}

std::vector<float> runGated(const BlockRun& run, const GatedLayers& layers, const LoadedGated& weights,
    const GatedRanges& ranges, std::size_t call, std::size_t firstToken, kernels::ConstMatrix inputs)
{
    std::vector<float> between;
    const auto activated = activatedOf(run, layers, weights,
        {.firstToken = firstToken, .values = inputs, .range = rangeIn(ranges.gateUp, call)}, between);
    const auto outputs = weights.down.outputs;
    std::vector<float> out(inputs.rows * outputs);
    multiplyInputs(run, std::span(&layers.down, 1), weights.down,
        {.firstToken = firstToken, .values = activated, .range = rangeIn(ranges.down, call)},
        {out.data(), inputs.rows, outputs, outputs});
    return out;
}

}  // namespace quantloupe
