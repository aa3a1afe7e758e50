// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/input_basis.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

/// Rᵀ·H·R in two passes over rows, H being symmetric. Rotations are of floats: H is scaled to fit.
void rotateMoments(std::vector<double>& moments, std::size_t columns, const HadamardRotation& rotation)
{
    double largest = 0.0;
    for (std::size_t i = 0; i < columns; ++i)
        largest = std::max(largest, moments[i * columns + i]);
    if (largest == 0.0)
        return;
    std::vector<double> scratch;
    std::vector<float> row(columns), half(moments.size());
    for (std::size_t i = 0; i < columns; ++i) {
        for (std::size_t j = 0; j < columns; ++j)
            row[j] = static_cast<float>(moments[i * columns + j] / largest);
        rotation.apply(row, scratch, row);
        for (std::size_t j = 0; j < columns; ++j)
            half[j * columns + i] = row[j];
    }
    for (std::size_t i = 0; i < columns; ++i) {
        rotation.apply(std::span(half).subspan(i * columns, columns), scratch, row);
        for (std::size_t j = 0; j < columns; ++j)
            moments[i * columns + j] = static_cast<double>(row[j]) * largest;
    }
    // Both halves were rounded by themselves.
    for (std::size_t i = 0; i < columns; ++i) {
        moments[i * columns + i] = std::max(moments[i * columns + i], 0.0);
        for (std::size_t j = 0; j < i; ++j) {
            const double mean = 0.5 * (moments[i * columns + j] + moments[j * columns + i]);
            moments[i * columns + j] = moments[j * columns + i] = mean;
        }
    }
}

}  // namespace

LayerInputs scaledInputs(const LayerInputs& inputs, std::span<const float> scales)
{
    LayerInputs scaled = inputs;
    const std::size_t columns = inputs.columns;
    for (std::size_t i = 0; i < scaled.secondMoments.size(); ++i)
        scaled.secondMoments[i] /= static_cast<double>(scales[i / columns]) * static_cast<double>(scales[i % columns]);
    for (auto* part : {&scaled.mean, &scaled.absMean, &scaled.absMax, &scaled.sample})
        for (std::size_t i = 0; i < part->size(); ++i)
            (*part)[i] /= scales[i % columns];
    return scaled;
}

LayerInputs rotatedInputs(const LayerInputs& inputs, const HadamardRotation& rotation)
{
    LayerInputs rotated = inputs;
    std::vector<double> scratch;
    if (!rotated.secondMoments.empty())
        rotateMoments(rotated.secondMoments, inputs.columns, rotation);
    rotation.apply(rotated.mean, scratch, rotated.mean);
    rotation.apply(rotated.sample, scratch, rotated.sample);
    rotated.absMean.clear();
    rotated.absMax.clear();
    if (!rotated.sample.empty())
        rotated.absMax.assign(inputs.columns, 0.0F);
    for (std::size_t i = 0; i < rotated.sample.size(); ++i) {
        float& largest = rotated.absMax[i % inputs.columns];
        largest = std::max(largest, std::abs(rotated.sample[i]));
    }
    return rotated;
}

}  // namespace quantloupe
