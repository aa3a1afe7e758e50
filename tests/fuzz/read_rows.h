// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

#include <vector>

namespace quantloupe::tests {

/// What every caller does with a tensor of a model: rows, the first, the last, all of them.
inline void readRows(const TensorView& view)
{
    constexpr std::uint64_t kMostElements = 1U << 16U;
    const auto [rows, columns] = matrixShape(view);
    if (!view.decodable() || rows == 0 || columns == 0 || columns > kMostElements || view.byteSize() > (1U << 24U))
        return;
    const auto held = holdBytes(view, {});
    if (!held)
        return;
    std::vector<float> values(columns);
    decodeRows(view, 0, 1, values);
    decodeRows(view, rows - 1, 1, values);
    if (rows <= kMostElements / columns) {
        values.resize(rows * columns);
        decodeRows(view, 0, rows, values);
    }
    releaseBytes(view);
}

}  // namespace quantloupe::tests
