// SPDX-License-Identifier: GPL-3.0-or-later
// A mixture of experts for one sequence, there and back. For use inside this room.
#pragma once

#include "core/inference/gated_backward.h"
#include "core/inference/loaded_block.h"
#include "core/inference/routing.h"

#include <cstddef>
#include <list>
#include <optional>
#include <vector>

namespace quantloupe {

class MixtureStep
{
public:
    MixtureStep(const BlockRun& run, const FeedForwardPart& part, const LoadedFeedForward& loaded,
        SequenceGradients& gradients);

    /// Adds the experts' outputs to `result`. @pre `inputs` (behind the norm) live as long as the gradients
    void run(kernels::ConstMatrix inputs, kernels::MutableMatrix result);
    /// Adds to the gradient by the inputs of run().
    void runBackward(kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient);

private:
    /// Tokens that go through some layers together, and what these gave.
    struct Visit {
        std::vector<std::size_t> rows {};
        std::vector<std::size_t> routes {};  ///< index of each token's route; of the shared expert none
        std::vector<float> weights {};
        GatedPass pass;
        kernels::MutableMatrix inputs {};
        std::vector<float> outputs {};
    };
    void visit(const GatedLayers& layers, const LoadedGated& loaded, std::vector<std::size_t> rows,
        std::vector<std::size_t> routes, std::vector<float> weights, kernels::MutableMatrix result);
    /// By how much each token of the visit counts: ∂loss by these weights.
    std::vector<float> leave(Visit& visit, kernels::ConstMatrix resultGradient, kernels::MutableMatrix inputGradient);
    void routeBackward(std::span<const float> weightGradients, kernels::MutableMatrix inputGradient);
    void shareBackward(std::span<const float> weightGradients, kernels::MutableMatrix inputGradient);

    const BlockRun& m_run;
    const Decoder& m_decoder;
    const FeedForwardPart& m_part;
    const LoadedFeedForward& m_loaded;
    SequenceGradients& m_gradients;
    LayersPass m_router;
    std::optional<LayersPass> m_sharedGate {};
    kernels::ConstMatrix m_inputs {};
    std::vector<float> m_probabilities {};  ///< [tokens × experts]
    std::vector<Route> m_routes {};         ///< [tokens × experts per token]
    std::vector<float> m_shares {};         ///< of the shared expert, by token
    std::list<Visit> m_visits {};           ///< of those experts that some token goes to; the shared one last
};

}  // namespace quantloupe
