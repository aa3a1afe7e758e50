// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/smooth_quant.h"

#include "core/algorithms/grid_choice.h"
#include "core/algorithms/row_blocks.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::size_t smoothingSteps = 20;

struct OutputSums {
    double error = 0.0, output = 0.0;
};

/// inputs · weightsᵀ of some rows, as rows × tokens
std::vector<float> outputsOf(std::span<const float> weights, std::span<const float> inputs, std::size_t columns)
{
    const std::size_t rows = weights.size() / columns, tokens = inputs.size() / columns;
    std::vector<float> outputs(rows * tokens);
    kernels::addProduct(1.0F, kernels::Matrix<const float> {weights.data(), rows, columns, columns},
        kernels::Side::Plain, kernels::Matrix<const float> {inputs.data(), tokens, columns, columns},
        kernels::Side::Transposed, 0.0F, {outputs.data(), rows, tokens, tokens});
    return outputs;
}

/// Whole rows quantized with grids of their own; empty: stopped.
std::vector<float> quantizedBy(
    const Quantizer& quantizer, std::span<const float> rows, std::size_t rowCount, const std::stop_token& stop)
{
    const std::vector<UnitGrid> grids = chooseGrids(quantizer, rows, rowCount, stop);
    if (grids.empty())
        return {};
    std::vector<float> out(rows.size());
    fakeQuantizeRows(quantizer, rows, grids, 0, rowCount, out);
    return out;
}

}  // namespace

std::vector<float> smoothingScales(std::span<const float> weights, std::span<const float> inputAbsMax, double alpha)
{
    const std::size_t columns = inputAbsMax.size();
    std::vector<float> largest(columns, 1e-5F);
    for (std::size_t i = 0; i < weights.size(); ++i)
        largest[i % columns] = std::max(largest[i % columns], std::abs(weights[i]));
    std::vector<float> scales(columns);
    for (std::size_t i = 0; i < columns; ++i)
        scales[i] = static_cast<float>(std::max(std::pow(static_cast<double>(inputAbsMax[i]), alpha)
                / std::pow(static_cast<double>(largest[i]), 1.0 - alpha),
            1e-5));
    return scales;
}

Result<SmoothingSearch> searchSmoothing(const Quantizer& weightQuantizer, const Quantizer& inputQuantizer,
    std::span<const float> weights, std::size_t rowCount, const LayerInputs& inputs, std::stop_token stop)
{
    if (inputs.sample.empty() || inputs.absMax.empty())
        return failure(
            ErrorCode::InvalidArgument, "smooth", "needs a sample of the layer's inputs and their largest sizes");
    const std::size_t columns = inputs.columns;
    SmoothingSearch search;
    double least = std::numeric_limits<double>::infinity();
    std::vector<float> scaledWeights(weights.size()), scaledInputs(inputs.sample.size());
    for (std::size_t step = 0; step <= smoothingSteps; ++step) {
        const double alpha = static_cast<double>(step) / static_cast<double>(smoothingSteps);
        const std::vector<float> scales = smoothingScales(weights, inputs.absMax, alpha);
        for (std::size_t i = 0; i < weights.size(); ++i)
            scaledWeights[i] = weights[i] * scales[i % columns];
        for (std::size_t i = 0; i < scaledInputs.size(); ++i)
            scaledInputs[i] = inputs.sample[i] / scales[i % columns];
        const auto quantizedWeights = quantizedBy(weightQuantizer, scaledWeights, rowCount, stop);
        const auto quantizedInputs = quantizedBy(inputQuantizer, scaledInputs, inputs.sampleTokens(), stop);
        if (quantizedWeights.empty() || quantizedInputs.empty())
            return calibrationStopped();
        std::vector<OutputSums> parts((rowCount + rowsPerBlock - 1) / rowsPerBlock);
        if (!forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
                const auto wanted =
                    outputsOf(weights.subspan(first * columns, count * columns), inputs.sample, columns);
                const auto made = outputsOf(
                    std::span(quantizedWeights).subspan(first * columns, count * columns), quantizedInputs, columns);
                OutputSums& sums = parts[first / rowsPerBlock];
                for (std::size_t i = 0; i < wanted.size(); ++i) {
                    const double error = static_cast<double>(made[i]) - static_cast<double>(wanted[i]);
                    sums.error += error * error;
                    sums.output += static_cast<double>(wanted[i]) * static_cast<double>(wanted[i]);
                }
            }))
            return calibrationStopped();
        OutputSums total;
        for (const OutputSums& part : parts) {
            total.error += part.error;
            total.output += part.output;
        }
        search.losses.push_back(total.output > 0.0 ? total.error / total.output : 0.0);
        if (search.losses.back() < least) {
            least = search.losses.back();
            search.alpha = alpha;
        }
    }
    return search;
}

}  // namespace quantloupe
