// SPDX-License-Identifier: GPL-3.0-or-later
// The layers of a feed-forward part or of one expert, there and back. For use inside this room.
#pragma once

#include "core/inference/gated.h"
#include "core/inference/layers_backward.h"

namespace quantloupe {

/// down(activation(gate) · up) of some tokens of one sequence.
class GatedPass
{
public:
    GatedPass(const BlockRun& run, const GatedLayers& layers, const LoadedGated& loaded, SequenceGradients& gradients);

    /// Into `result` [tokens × hidden]. @pre `inputs` live as long as the gradients
    void run(kernels::ConstMatrix inputs, const TileRows& tiles, kernels::MutableMatrix result);
    /// Adds to the gradient by the inputs of run(). @pre `resultGradient` lives as long as the gradients
    void runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient);

private:
    const Decoder& m_decoder;
    SequenceGradients& m_gradients;
    LayersPass m_gateUpLayers, m_downLayers;
    std::size_t m_wide, m_inner;  ///< outputs of gate and up; inputs of down
    kernels::MutableMatrix m_gateUp {};
};

}  // namespace quantloupe
