// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/gated_backward.h"

#include "core/inference/operations_backward.h"

#include <cstddef>

namespace quantloupe {

void multiplyLayers(kernels::ConstMatrix inputs, const LoadedLayers& loaded, kernels::MutableMatrix result)
{
    kernels::multiplyByTransposed(inputs, loaded.matrix(), result);
    addBias(loaded.bias, result);
}

void multiplyLayersBackward(std::span<const LinearLayer> layers, const LoadedLayers& loaded,
    kernels::ConstMatrix inputs, kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient,
    SequenceGradients& gradients)
{
    using kernels::Side;
    std::size_t column = 0;
    for (const auto& layer : layers) {
        gradients.layers.push_back(
            {.layer = layer, .inputs = inputs, .outputs = outputGradient.columnRange(column, layer.outputs)});
        column += layer.outputs;
    }
    kernels::addProduct(1.0F, outputGradient, Side::Plain, loaded.matrix(), Side::Plain, 1.0F, inputGradient);
}

GatedPass::GatedPass(
    const Decoder& decoder, const GatedLayers& layers, const LoadedGated& loaded, SequenceGradients& gradients)
    : m_decoder(decoder)
    , m_layers(layers)
    , m_loaded(loaded)
    , m_gradients(gradients)
{
}

void GatedPass::run(kernels::ConstMatrix inputs, kernels::MutableMatrix result)
{
    const auto wide = m_loaded.gateUp.outputs;
    m_inputs = inputs;
    m_gateUp.resize(inputs.rows * wide);
    const kernels::MutableMatrix gateUp {m_gateUp.data(), inputs.rows, wide, wide};
    multiplyLayers(inputs, m_loaded.gateUp, gateUp);
    m_activated = m_gradients.keep(inputs.rows, m_loaded.down.inputs);
    activateRows(gateUp, m_decoder.gated, m_decoder.activation, m_activated);
    multiplyLayers(m_activated, m_loaded.down, result);
}

void GatedPass::runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient)
{
    const auto rows = m_inputs.rows, wide = m_loaded.gateUp.outputs, inner = m_loaded.down.inputs;
    std::vector<float> between(rows * inner);
    const kernels::MutableMatrix activated {between.data(), rows, inner, inner};
    multiplyLayersBackward(
        std::span(&m_layers.down, 1), m_loaded.down, m_activated, resultGradient, activated, m_gradients);
    const auto gateUp = m_gradients.keep(rows, wide);
    activateRowsBackward({m_gateUp.data(), rows, wide, wide}, m_decoder.gated, m_decoder.activation, activated, gateUp);
    multiplyLayersBackward(m_layers.gateUp, m_loaded.gateUp, m_inputs, gateUp, inputGradient, m_gradients);
}

}  // namespace quantloupe
