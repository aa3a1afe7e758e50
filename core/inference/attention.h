// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/unset_array.h"
#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantloupe {

/// One head of one sequence: row i of each matrix is position i. Key and value heads may be shared by query heads.
struct AttentionHead {
    kernels::ConstMatrix queries, keys, values;
    kernels::MutableMatrix result;
    float scale = 1.0F;
    float cap = 0.0F;          ///< soft cap of the scores; 0: none
    std::uint64_t window = 0;  ///< a query sees itself and window − 1 keys before it; 0: all before it
    bool softmaxInIntegers = false;
};

/// Queries that are worked on together: their scores take queriesPerTile × keys floats.
constexpr std::size_t queriesPerTile = 64;

/// How some queries weigh the keys from `firstKey` on, row by row.
struct AttentionWeights {
    std::size_t firstKey = 0, keys = 0;
    std::size_t firstQuery = 0, queries = 0;
    UnsetArray<float> probabilities {};
    std::vector<float> capped {};  ///< the scores behind the soft cap, where that was asked for

    kernels::ConstMatrix rows() const { return {probabilities.data(), queries, keys, keys}; }
};

/// softmax(cap(scale · q · kᵀ) + causal mask) for queries [firstQuery, firstQuery + count). `keepsCapped`: as
/// attendBackward() needs them.
AttentionWeights weighKeys(const AttentionHead& head, std::size_t firstQuery, std::size_t count, bool keepsCapped);

/// head.result = weights · v in the rows of their queries.
void attend(const AttentionHead& head, const AttentionWeights& weights);
/// The same for weights that nobody needs afterwards.
void attend(const AttentionHead& head, std::size_t firstQuery, std::size_t count);

/// ∂loss by what a head is given, of the same shapes.
struct AttentionHeadGradient {
    kernels::MutableMatrix queries, keys, values;
};

/// Adds what the queries of `weights` say, given ∂loss/∂result (all rows). head.result is not used.
/// @pre the softmax is not in integers, and the weights have their capped scores
void attendBackward(const AttentionHead& head, const AttentionWeights& weights, kernels::ConstMatrix resultGradient,
    const AttentionHeadGradient& gradient);

}  // namespace quantloupe
