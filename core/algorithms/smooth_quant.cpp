// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/smooth_quant.h"

#include "core/algorithms/grid_choice.h"
#include "core/algorithms/row_blocks.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

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

/// Largest size of each column over all layers, and of each layer's weights in turn: what smoothingScales() takes.
struct LargestSizes {
    std::vector<float> inputs {}, weights {};
};

LargestSizes largestSizes(std::span<const SmoothedLayer> layers)
{
    const std::size_t columns = layers.front().inputs->columns;
    LargestSizes sizes {.inputs = std::vector<float>(columns), .weights = std::vector<float>(columns)};
    for (const auto& layer : layers) {
        for (std::size_t i = 0; i < columns; ++i)
            sizes.inputs[i] = std::max(sizes.inputs[i], layer.inputs->absMax[i]);
        for (std::size_t i = 0; i < layer.weights.size(); ++i)
            sizes.weights[i % columns] = std::max(sizes.weights[i % columns], std::abs(layer.weights[i]));
    }
    return sizes;
}

/// What a layer gives as it is, block by block of rows, each rows × tokens. Empty: stopped.
std::vector<std::vector<float>> outputsAsTheyAre(const SmoothedLayer& layer, const std::stop_token& stop)
{
    const std::size_t columns = layer.inputs->columns;
    std::vector<std::vector<float>> outputs((layer.rowCount + rowsPerBlock - 1) / rowsPerBlock);
    const bool done = forEachRowBlock(layer.rowCount, stop, [&](std::size_t first, std::size_t count) {
        outputs[first / rowsPerBlock] =
            outputsOf(layer.weights.subspan(first * columns, count * columns), layer.inputs->sample, columns);
    });
    return done ? std::move(outputs) : std::vector<std::vector<float>>();
}

/// What rounding weights and inputs does to outputs that were `wanted`, under these scales.
Result<OutputSums> outputSums(const SmoothedLayer& layer, std::span<const std::vector<float>> wanted,
    std::span<const float> scales, const std::stop_token& stop)
{
    const std::size_t columns = scales.size();
    std::vector<float> weights(layer.weights.begin(), layer.weights.end()), inputs(layer.inputs->sample);
    for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] *= scales[i % columns];
    for (std::size_t i = 0; i < inputs.size(); ++i)
        inputs[i] /= scales[i % columns];
    const auto round = layer.rounding(scales);
    if (!round)
        return tl::unexpected(round.error());
    (*round)(inputs);
    const std::vector<UnitGrid> grids = chooseGrids(*layer.quantizer, weights, layer.rowCount, stop);
    if (grids.empty())
        return calibrationStopped();
    std::vector<OutputSums> parts(wanted.size());
    const bool done = forEachRowBlock(layer.rowCount, stop, [&](std::size_t first, std::size_t count) {
        std::vector<float> quantized(count * columns);
        fakeQuantizeRows(*layer.quantizer, weights, grids, first, count, quantized);
        const auto made = outputsOf(quantized, inputs, columns);
        const auto& own = wanted[first / rowsPerBlock];
        OutputSums& sums = parts[first / rowsPerBlock];
        for (std::size_t i = 0; i < own.size(); ++i) {
            const double error = static_cast<double>(made[i]) - static_cast<double>(own[i]);
            sums.error += error * error;
            sums.output += static_cast<double>(own[i]) * static_cast<double>(own[i]);
        }
    });
    if (!done)
        return calibrationStopped();
    return std::accumulate(parts.begin(), parts.end(), OutputSums(), [](OutputSums all, const OutputSums& part) {
        return OutputSums {.error = all.error + part.error, .output = all.output + part.output};
    });
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

Result<SmoothingSearch> searchSmoothing(std::span<const SmoothedLayer> layers, std::stop_token stop)
{
    for (const auto& layer : layers)
        if (layer.inputs->sample.empty() || layer.inputs->absMax.empty())
            return failure(
                ErrorCode::InvalidArgument, "smooth", "needs a sample of the layer's inputs and their largest sizes");
    const auto sizes = largestSizes(layers);
    std::vector<std::vector<std::vector<float>>> wanted;  // of each layer: the same for every α
    for (const auto& layer : layers)
        if (wanted.push_back(outputsAsTheyAre(layer, stop)); wanted.back().empty())
            return calibrationStopped();
    SmoothingSearch search;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t step = 0; step <= smoothingSteps; ++step) {
        const double alpha = static_cast<double>(step) / static_cast<double>(smoothingSteps);
        const std::vector<float> scales = smoothingScales(sizes.weights, sizes.inputs, alpha);
        OutputSums total;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const auto sums = outputSums(layers[i], wanted[i], scales, stop);
            if (!sums)
                return tl::unexpected(sums.error());
            total.error += sums->error;
            total.output += sums->output;
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
