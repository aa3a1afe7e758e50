// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/layers_backward.h"

#include <algorithm>
#include <functional>

namespace quantloupe {
namespace {

/// Calls each(first row, rows) of every tile.
template<class Each>
void forEachTile(const TileRows& tiles, const Each& each)
{
    std::size_t first = 0;
    for (const auto rows : tiles) {
        each(first, rows);
        first += rows;
    }
}

}  // namespace

TileRows tileRowsOf(std::size_t tokens)
{
    TileRows tiles(tokens / tokensPerTile, tokensPerTile);
    if (tokens % tokensPerTile != 0)
        tiles.push_back(tokens % tokensPerTile);
    return tiles;
}

LayersPass::LayersPass(
    const BlockRun& run, std::span<const LinearLayer> layers, const LoadedLayers& loaded, SequenceGradients& gradients)
    : m_run(run)
    , m_layers(layers)
    , m_loaded(loaded)
    , m_gradients(gradients)
{
}

LayersPass::Shared LayersPass::inputsOf(const LayersAlike& alike, const TileRows& tiles)
{
    Shared shared {.layers = alike, .inputs = m_inputs};
    if (!alike.replacer)
        return shared;
    const auto columns = m_inputs.columns;
    const auto replaced = m_gradients.keepUnset(m_inputs.rows, columns);
    if (alike.replacer->needsRange)
        widen(shared.range, m_inputs);
    forEachTile(tiles, [&](std::size_t first, std::size_t rows) {
        for (auto row = first; row < first + rows; ++row)
            std::copy_n(m_inputs.row(row), columns, replaced.row(row));
        replaceTile(*alike.replacer, shared.range, {replaced.row(first), rows * columns});
    });
    shared.inputs = replaced;
    return shared;
}

void LayersPass::run(kernels::ConstMatrix inputs, const TileRows& tiles, kernels::MutableMatrix result)
{
    m_inputs = inputs;
    for (const auto& alike : layersAlike(m_run, m_layers)) {
        const auto& shared = m_shared.emplace_back(inputsOf(alike, tiles));
        const auto outputs = result.columnRange(alike.firstOutput, alike.outputs);
        forEachTile(tiles, [&](std::size_t first, std::size_t rows) {
            projectOutputs(shared.inputs.rowRange(first, rows), m_loaded, alike.firstOutput,
                outputs.rowRange(first, rows), m_run.stop);
        });
    }
}

/// Of layers whose replacer clips.
void LayersPass::addClipped(
    const Shared& shared, kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient)
{
    const auto columns = m_inputs.columns;
    std::vector<float> back(m_inputs.rows * columns), given(columns);
    const auto weights = m_loaded.matrix().rowRange(shared.layers.firstOutput, shared.layers.outputs);
    kernels::multiply(outputGradient, weights, {back.data(), m_inputs.rows, columns, columns});
    for (std::size_t row = 0; row < m_inputs.rows; ++row) {
        const auto gradient = std::span(back).subspan(row * columns, columns);
        shared.layers.replacer->clip({m_inputs.row(row), columns}, shared.range, gradient);
        std::transform(gradient.begin(), gradient.end(), inputGradient.row(row), inputGradient.row(row), std::plus<>());
    }
}

void LayersPass::runBackward(kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient)
{
    using kernels::Side;
    for (const auto& shared : m_shared) {
        const auto& [first, last, firstOutput, outputs, replacer] = shared.layers;
        auto column = firstOutput;
        for (const auto& layer : m_layers.subspan(first, last - first)) {
            m_gradients.layers.push_back({.layer = layer,
                .inputs = shared.inputs,
                .outputs = outputGradient.columnRange(column, layer.outputs)});
            column += layer.outputs;
        }
        const auto given = outputGradient.columnRange(firstOutput, outputs);
        if (replacer && replacer->clip)
            addClipped(shared, given, inputGradient);
        else
            kernels::addProduct(1.0F, given, Side::Plain, m_loaded.matrix().rowRange(firstOutput, outputs), Side::Plain,
                1.0F, inputGradient);
    }
}

}  // namespace quantloupe
