// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/tensor_view.h"

#include <utility>

namespace quantloupe {

std::optional<std::uint64_t> elementCount(const Shape& shape)
{
    std::uint64_t count = 1;
    bool empty = false;
    for (const auto extent : shape) {
        // A zero must not hide that the other extents overflow: a later reshape would meet their product.
        if (extent == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, extent, &count))
            return std::nullopt;
    }
    return empty ? 0 : count;
}

MatrixShape matrixShape(const TensorView& view)
{
    const auto elements = view.elements();
    if (view.shape.empty())
        return {1, 1};
    if (view.shape.size() == 1)
        return {1, view.shape[0]};
    if (view.shape.size() == 2 && view.transposed)
        return {view.shape[1], view.shape[0]};
    if (view.convolution)
        return {view.shape[0], view.shape[0] == 0 ? 0 : elements / view.shape[0]};
    const auto columns = view.shape.back();
    return {columns == 0 ? 0 : elements / columns, columns};
}

}  // namespace quantloupe
