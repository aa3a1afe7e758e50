// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/layer_rows.h"

#include "core/algorithms/row_blocks.h"
#include "core/base/unset_array.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

/// Whether a block of rows can be rounded without the others.
bool roundsApart(const Quantizer& quantizer)
{
    return !quantizer.wholeTensor() && !quantizer.needsTensorAbsMax()
        && quantizer.scheme().scales != ScaleStorage::Double8 && rowsPerBlock % quantizer.rowsPerUnit() == 0;
}

}  // namespace

Result<LayerRows> LayerRows::create(const Scheme& scheme, StepRule rule, std::size_t rows, std::size_t columns)
{
    auto whole = TrainedQuantizer::create(scheme, rule, rows, columns);
    if (!whole)
        return tl::unexpected(whole.error());
    LayerRows layer(rows, columns);
    for (std::size_t first = 0; first < rows; first += rowsPerBlock)
        layer.m_blocks.push_back({.firstRow = first, .rows = std::min(rowsPerBlock, rows - first)});
    if (!roundsApart(whole->quantizer())) {
        layer.m_quantizers.push_back(std::move(*whole));
        return layer;
    }
    for (const auto& block : layer.m_blocks) {
        auto own = TrainedQuantizer::create(scheme, rule, block.rows, columns);
        if (!own)
            return tl::unexpected(own.error());
        layer.m_quantizers.push_back(std::move(*own));
    }
    return layer;
}

bool LayerRows::begin(std::span<const float> weights, std::span<const UnitGrid> grids,
    std::span<const float> importance, const std::stop_token& stop)
{
    m_weights = ZeroedArray<float>(weights.size());
    m_quantized = ZeroedArray<float>(weights.size());
    m_roundedFor = 0;
    return forEachIndex(m_blocks.size(), stop, [&](std::size_t i) {
        auto& block = m_blocks[i];
        block = {.firstRow = block.firstRow, .rows = block.rows};
        const auto own = weights.subspan(block.firstRow * m_columns, block.rows * m_columns);
        std::copy(own.begin(), own.end(), weightsOf(block).begin());
        if (!apart()) {
            if (i == 0)
                m_quantizers.front().initialize(grids);
            return;
        }
        auto& quantizer = m_quantizers[i];
        const auto& inner = quantizer.quantizer();
        if (grids.empty()) {
            quantizer.initialize(grids);
            quantizer.initialize(own, importance, stop);
            return;
        }
        const auto firstGrid = block.firstRow == 0 ? 0 : inner.gridCount(block.firstRow);
        quantizer.initialize(grids.subspan(firstGrid, inner.gridCount(block.rows)));
    });
}

std::span<float> LayerRows::weightsOf(const Block& block)
{
    return m_weights.part(block.firstRow * m_columns, block.rows * m_columns);
}

bool LayerRows::quantizeTogether(const std::stop_token& stop)
{
    return m_quantizers.front().quantize(m_weights, m_quantized.part(0, m_quantized.size()), stop);
}

std::span<const float> LayerRows::quantize(const std::stop_token& stop)
{
    m_roundedFor = 0;
    const bool done = apart() ? forEachIndex(m_blocks.size(), stop,
                          [&](std::size_t i) {
                              const auto& block = m_blocks[i];
                              m_quantizers[i].quantize(weightsOf(block),
                                  m_quantized.part(block.firstRow * m_columns, block.rows * m_columns), stop);
                          })
                              : quantizeTogether(stop);
    return done ? std::span<const float>(m_quantized) : std::span<const float>();
}

TrainedLayer LayerRows::layer() const
{
    TrainedLayer layer {
        .quantizer = m_quantizers.front().quantizer(), .rows = m_rows, .weights = {m_weights.begin(), m_weights.end()}};
    for (const auto& quantizer : m_quantizers)
        layer.grids.insert(layer.grids.end(), quantizer.grids().begin(), quantizer.grids().end());
    return layer;
}

bool LayerRows::stepBlock(std::size_t index, std::span<const float> original, const StepInputs& inputs,
    const RowRates& rates, const std::stop_token& stop)
{
    auto& block = m_blocks[index];
    const auto first = block.firstRow * m_columns, count = block.rows * m_columns;
    const auto weights = weightsOf(block);
    UnsetArray<float> buffer(count);
    const std::span<float> gradient(buffer.data(), count);
    if (!apart())
        std::copy_n(m_quantized.begin() + first, count, gradient.begin());
    else if (!m_quantizers[index].quantize(weights, gradient, stop))
        return false;
    for (std::size_t i = 0; i < count; ++i)
        gradient[i] -= original[first + i];
    const auto loss = outputGradient(inputs, {gradient.data(), block.rows, m_columns, m_columns}, stop);
    if (!loss)
        return false;
    block.loss = *loss;
    if (!std::isfinite(*loss))
        return false;
    if (apart()) {
        auto& quantizer = m_quantizers[index];
        std::vector<float> byGrids(quantizer.parameters().size());
        quantizer.propagate(weights, gradient, byGrids);
        block.grids.update(quantizer.parameters(), byGrids, rates.grids, 0.0, rates.number, {});
        quantizer.clampParameters();
    }
    block.weights.update(weights, gradient, rates.weights, 0.0, rates.number, {});
    block.steps = rates.number;
    return true;
}

Result<double> LayerRows::step(
    std::span<const float> original, const StepInputs& inputs, const RowRates& rates, const std::stop_token& stop)
{
    if (!apart() && m_roundedFor != rates.number) {
        if (!quantizeTogether(stop))
            return calibrationStopped();
        m_roundedFor = rates.number;
    }
    forEachIndex(m_blocks.size(), stop, [&](std::size_t i) {
        if (m_blocks[i].steps != rates.number)
            stepBlock(i, original, inputs, rates, stop);
    });
    double loss = 0.0;
    for (const auto& block : m_blocks) {
        if (block.steps != rates.number && std::isfinite(block.loss))
            return failure(ErrorCode::Cancelled, "training", "stopped on request");
        loss += block.loss;
    }
    if (!std::isfinite(loss))
        return failure(ErrorCode::Malformed, "training",
            "what the layer's outputs lose overflows in step " + std::to_string(rates.number)
                + ": train at a lower rate");
    return loss;
}

}  // namespace quantloupe
