// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/gated_backward.h"

#include "core/inference/operations_backward.h"

#include <cstddef>

namespace quantloupe {

GatedPass::GatedPass(
    const BlockRun& run, const GatedLayers& layers, const LoadedGated& loaded, SequenceGradients& gradients)
    : m_decoder(run.decoder)
    , m_gradients(gradients)
    , m_gateUpLayers(run, layers.gateUp, loaded.gateUp, gradients)
    , m_downLayers(run, std::span(&layers.down, 1), loaded.down, gradients)
    , m_wide(loaded.gateUp.outputs)
    , m_inner(loaded.down.inputs)
{
}

void GatedPass::run(kernels::ConstMatrix inputs, const TileRows& tiles, kernels::MutableMatrix result)
{
    m_gateUp = m_gradients.keepUnset(inputs.rows, m_wide);
    m_gateUpLayers.run(inputs, tiles, m_gateUp);
    const auto activated = m_gradients.keepUnset(inputs.rows, m_inner);
    activateRows(m_gateUp, m_decoder.gated, m_decoder.activation, activated);
    m_downLayers.run(activated, tiles, result);
}

void GatedPass::runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient)
{
    const auto rows = resultGradient.rows;
    std::vector<float> between(rows * m_inner);
    const kernels::MutableMatrix activated {between.data(), rows, m_inner, m_inner};
    m_downLayers.runBackward(resultGradient, activated);
    const auto gateUp = m_gradients.keepUnset(rows, m_wide);
    activateRowsBackward(m_gateUp, m_decoder.gated, m_decoder.activation, activated, gateUp);
    m_gateUpLayers.runBackward(gateUp, inputGradient);
}

}  // namespace quantloupe
