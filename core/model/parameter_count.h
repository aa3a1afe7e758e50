// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"
#include "core/tensor/tensor_view.h"

#include <cstdint>

namespace quantloupe {

/// Parameters of all tensors, of models and catalogs alike. Some writers store a tied output head as a second copy of
/// the embedding: it is counted once. `shapeOf(tensor)` gives the Shape.
template<class Tensors, class ShapeOf>
std::uint64_t countParameters(const Tensors& tensors, bool tied, const ShapeOf& shapeOf)
{
    const Shape* embedding = nullptr;
    for (const auto& tensor : tensors)
        if (!embedding && tensor.parts.role == TensorRole::Embedding)
            embedding = &shapeOf(tensor);
    std::uint64_t sum = 0;
    for (const auto& tensor : tensors) {
        const bool copy = tied && embedding && tensor.parts.role == TensorRole::LmHead && shapeOf(tensor) == *embedding;
        if (!copy)
            sum += tensor.parameters();
    }
    return sum;
}

}  // namespace quantloupe
