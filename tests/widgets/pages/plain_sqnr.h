// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/workbench/workbench.h"

#include <QString>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace quantloupe::tests {

/// SQNR by the plainest loop over the file's own weights, symmetric groups along rows.
inline double expectedSqnr(const Workbench& workbench, const QString& name, int bits, std::size_t group)
{
    const auto& tensor = workbench.model()->tensors[*workbench.model()->find(name.toStdString())];
    const auto shape = matrixShape(tensor.view);
    std::vector<float> weights(shape.elements());
    decodeRows(tensor.view, 0, shape.rows, weights);
    const float top = static_cast<float>((1 << (bits - 1)) - 1);
    double signal = 0.0;
    double noise = 0.0;
    for (std::size_t row = 0; row < shape.rows; ++row)
        for (std::size_t first = 0; first < shape.columns; first += group) {
            const auto end = std::min<std::size_t>(first + group, shape.columns);
            float largest = 0.0F;
            for (std::size_t i = first; i < end; ++i)
                largest = std::max(largest, std::abs(weights[row * shape.columns + i]));
            const float scale = largest / top;
            for (std::size_t i = first; i < end; ++i) {
                const float weight = weights[row * shape.columns + i];
                const float rounded = scale > 0.0F ? std::nearbyint(weight / scale) * scale : 0.0F;
                signal += static_cast<double>(weight) * static_cast<double>(weight);
                noise += std::pow(static_cast<double>(weight) - static_cast<double>(rounded), 2.0);
            }
        }
    return 10.0 * std::log10(signal / noise);
}

}  // namespace quantloupe::tests
