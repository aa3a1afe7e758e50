// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/dense_algebra.h"

#include <cstddef>
#include <cstdint>

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

/// softmax(cap(scale · q · kᵀ) + causal mask) · v for queries [firstQuery, firstQuery + count).
void attend(const AttentionHead& head, std::size_t firstQuery, std::size_t count);

/// ∂loss by what a head is given, of the same shapes.
struct AttentionHeadGradient {
    kernels::MutableMatrix queries, keys, values;
};

/// Adds what queries [firstQuery, firstQuery + count) say, given ∂loss/∂result (all rows). The scores are computed a
/// second time, head.result is not used. @pre the softmax is not in integers
void attendBackward(const AttentionHead& head, kernels::ConstMatrix resultGradient, std::size_t firstQuery,
    std::size_t count, const AttentionHeadGradient& gradient);

}  // namespace quantloupe
