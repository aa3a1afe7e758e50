// SPDX-License-Identifier: GPL-3.0-or-later
// What a backward pass gives: the gradients of a loss by what the layers of a decoder compute.
#pragma once

#include "core/base/unset_array.h"
#include "core/inference/decoder.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cstddef>
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
    std::vector<UnsetArray<float>> kept {};  ///< what `layers` point to

    /// Numbers that live as long as this, and begin as anything.
    kernels::MutableMatrix keepUnset(std::size_t rows, std::size_t columns)
    {
        return {kept.emplace_back(rows * columns).data(), rows, columns, columns};
    }
    /// The same from 0 on.
    kernels::MutableMatrix keep(std::size_t rows, std::size_t columns)
    {
        const auto values = keepUnset(rows, columns);
        std::fill_n(values.data, rows * columns, 0.0F);
        return values;
    }
};

}  // namespace quantloupe
