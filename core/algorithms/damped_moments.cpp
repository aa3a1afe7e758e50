// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/damped_moments.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/row_blocks.h"

#include <numeric>

namespace quantloupe {
namespace {

/// Σ over rows of r·H·rᵀ
double momentOfRows(std::span<const double> rows, const LayerInputs& inputs, const std::stop_token& stop)
{
    const std::size_t columns = inputs.columns, count = rows.size() / columns;
    std::vector<double> product(rows.size());
    if (!addProductInBands(1.0, kernels::Matrix<const double> {rows.data(), count, columns, columns},
            kernels::Side::Plain,
            kernels::Matrix<const double> {inputs.secondMoments.data(), columns, columns, columns},
            kernels::Side::Plain, 0.0, {product.data(), count, columns, columns}, stop))
        return 0.0;
    double sum = 0.0;
    for (std::size_t i = 0; i < rows.size(); ++i)
        sum += rows[i] * product[i];
    return sum;
}

/// The same for rows of which numberAt(index) gives the numbers.
template<class Numbers>
double powerOf(const LayerInputs& inputs, std::size_t size, const Numbers& numberAt, const std::stop_token& stop)
{
    const std::size_t columns = inputs.columns, rows = size / columns;
    std::vector<double> parts((rows + rowsPerBlock - 1) / rowsPerBlock);
    forEachRowBlock(rows, stop, [&](std::size_t first, std::size_t count) {
        std::vector<double> block(count * columns);
        for (std::size_t i = 0; i < block.size(); ++i)
            block[i] = numberAt(first * columns + i);
        parts[first / rowsPerBlock] = momentOfRows(block, inputs, stop);
    });
    return std::accumulate(parts.begin(), parts.end(), 0.0);
}

}  // namespace

DampedMoments dampedMoments(const LayerInputs& inputs, double damping, const std::stop_token& stop)
{
    const std::size_t columns = inputs.columns;
    const auto own = [&](std::size_t i) {
        const double value = inputs.secondMoments[i * columns + i];
        return value == 0.0 ? 1.0 : value;
    };
    DampedMoments moments {columns, ZeroedArray<float>(columns * columns)};
    double sum = 0.0;
    for (std::size_t i = 0; i < columns; ++i)
        sum += own(i);
    moments.scale = sum / static_cast<double>(columns);
    forEachIndex(columns, stop, [&](std::size_t row) {
        for (std::size_t i = row * columns; i < (row + 1) * columns; ++i)
            moments.values[i] = kernels::withoutDust(inputs.secondMoments[i] / moments.scale);
        moments.values[row * columns + row] = static_cast<float>(own(row) / moments.scale + damping);
    });
    return moments;
}

double outputPower(std::span<const float> weights, const LayerInputs& inputs, const std::stop_token& stop)
{
    return powerOf(
        inputs, weights.size(), [weights](std::size_t i) { return static_cast<double>(weights[i]); }, stop);
}

double relativeOutputError(std::span<const float> weights, std::span<const float> quantized, const LayerInputs& inputs)
{
    const double output = outputPower(weights, inputs);
    const double error = powerOf(inputs, weights.size(),
        [=](std::size_t i) { return static_cast<double>(weights[i]) - static_cast<double>(quantized[i]); }, {});
    return output > 0.0 ? error / output : 0.0;
}

}  // namespace quantloupe
