// SPDX-License-Identifier: GPL-3.0-or-later
// What a backward pass gives: the gradients of a loss by what the layers of a decoder compute.
#pragma once

#include "core/inference/decoder.h"
#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <deque>
#include <vector>

namespace quantloupe {

/// What flows back through one linear layer y = W·x + b for the tokens of one sequence; of an expert, for those that
/// were routed to it. From both come ∂loss/∂W = Σ g·xᵀ and ∂loss/∂b = Σ g over the tokens.
struct LayerGradient {
    LinearLayer layer {};
    kernels::ConstMatrix inputs {};   ///< x [tokens × layer.inputs]
    kernels::ConstMatrix outputs {};  ///< g = ∂loss/∂y [tokens × layer.outputs]
};

/// ∂loss by a norm's weights, summed over the tokens of one sequence.
struct NormGradient {
    NormLayer norm {};
    std::vector<double> weight {}, bias {};  ///< bias: empty where the norm has none
};

/// All gradients that one sequence gives within a block, or at the output head.
struct SequenceGradients {
    std::vector<LayerGradient> layers {};  ///< against the order of the operations
    std::vector<NormGradient> norms {};
    std::deque<std::vector<float>> kept {};  ///< what `layers` point to

    /// Zeros that live as long as this.
    kernels::MutableMatrix keep(std::size_t rows, std::size_t columns)
    {
        auto& values = kept.emplace_back(rows * columns);
        return {values.data(), rows, columns, columns};
    }
};

}  // namespace quantloupe
