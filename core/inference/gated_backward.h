// SPDX-License-Identifier: GPL-3.0-or-later
// Linear layers of one sequence, there and back. For use inside this room.
#pragma once

#include "core/inference/gated.h"
#include "core/inference/gradients.h"

#include <span>
#include <vector>

namespace quantloupe {

/// result = inputs · weightsᵀ + bias, on the calling thread.
void multiplyLayers(kernels::ConstMatrix inputs, const LoadedLayers& loaded, kernels::MutableMatrix result);

/// Notes what flows through the layers, which lie side by side, and adds outputGradient · weights to `inputGradient`.
/// @pre `inputs` and `outputGradient` live as long as `gradients`
void multiplyLayersBackward(std::span<const LinearLayer> layers, const LoadedLayers& loaded,
    kernels::ConstMatrix inputs, kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient,
    SequenceGradients& gradients);

/// down(activation(gate) · up) of some tokens.
class GatedPass
{
public:
    GatedPass(
        const Decoder& decoder, const GatedLayers& layers, const LoadedGated& loaded, SequenceGradients& gradients);

    /// Into `result` [tokens × hidden]. @pre `inputs` live as long as the gradients
    void run(kernels::ConstMatrix inputs, kernels::MutableMatrix result);
    /// Adds to the gradient by the inputs of run(). @pre `resultGradient` lives as long as the gradients
    void runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient);

private:
    const Decoder& m_decoder;
    const GatedLayers& m_layers;
    const LoadedGated& m_loaded;
    SequenceGradients& m_gradients;
    kernels::ConstMatrix m_inputs {};
    std::vector<float> m_gateUp {};
    kernels::MutableMatrix m_activated {};
};

}  // namespace quantloupe
