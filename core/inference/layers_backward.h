// SPDX-License-Identifier: GPL-3.0-or-later
// Linear layers of one sequence, there and back. For use inside this room.
#pragma once

#include "core/inference/block.h"
#include "core/inference/gradients.h"

#include <cstddef>
#include <span>
#include <vector>

namespace quantloupe {

/// How many rows a forward pass multiplies at a time, in their order. The bits of what comes out depend on it, and a
/// last bit may decide what an input of the next layer is rounded to.
using TileRows = std::vector<std::size_t>;
/// Of one sequence.
TileRows tileRowsOf(std::size_t tokens);

/// Layers side by side, with the inputs that the run replaces. The straight-through estimator: gradients by replaced
/// inputs count as those by the inputs themselves, but for what a replacer clips; those by weights are of the replaced
/// inputs.
class LayersPass
{
public:
    /// @pre `loaded` are the weights of `layers`, none of them in integers
    LayersPass(const BlockRun& run, std::span<const LinearLayer> layers, const LoadedLayers& loaded,
        SequenceGradients& gradients);

    /// result = inputs · weightsᵀ + bias, with the bits of the forward pass. What replacers must know of the whole call
    /// is taken from the inputs. @pre `inputs` live as long as the gradients
    void run(kernels::ConstMatrix inputs, const TileRows& tiles, kernels::MutableMatrix result);
    /// Notes what flows through the layers, and adds to the gradient by the inputs of run().
    /// @pre `outputGradient` lives as long as the gradients
    void runBackward(kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient);

private:
    struct Shared {
        LayersAlike layers {};
        kernels::ConstMatrix inputs {};  ///< as they are multiplied
        kernels::FiniteRange range {};
    };
    Shared inputsOf(const LayersAlike& alike, const TileRows& tiles);
    void addClipped(const Shared& shared, kernels::ConstMatrix outputGradient, kernels::MutableMatrix inputGradient);

    const BlockRun& m_run;
    std::span<const LinearLayer> m_layers;
    const LoadedLayers& m_loaded;
    SequenceGradients& m_gradients;
    kernels::ConstMatrix m_inputs {};
    std::vector<Shared> m_shared {};
};

}  // namespace quantloupe
