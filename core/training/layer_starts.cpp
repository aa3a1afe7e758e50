// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/layer_starts.h"

#include "core/algorithms/calibrated_quantization.h"
#include "core/algorithms/combinations.h"
#include "core/algorithms/row_blocks.h"
#include "core/calibration/second_moments.h"
#include "core/training/layer_rows.h"

#include <array>
#include <utility>

namespace quantloupe {
namespace {

/// Of a sample alone: its moments, and nothing else.
LayerInputs momentsOfSample(const LayerInputs& inputs, const std::stop_token& stop)
{
    SecondMoments moments(inputs.columns);
    moments.allocate();
    // Sums in float32 stay short.
    constexpr std::size_t kTokensPerPiece = 256;
    const auto tokens = inputs.sampleTokens();
    const auto& squares = moments.layout().squares();
    forEachIndex(squares.size(), stop, [&](std::size_t i) {
        for (std::size_t first = 0; first < tokens; first += kTokensPerPiece) {
            const kernels::ConstMatrix piece {inputs.sample.data() + (first * inputs.columns),
                std::min(kTokensPerPiece, tokens - first), inputs.columns, inputs.columns};
            moments.add(squares[i], std::span(&piece, 1));
        }
    });
    return {.columns = inputs.columns, .tokens = tokens, .secondMoments = moments.whole()};
}

Result<LayerRounding> roundToNearest(const LayerToTrain& layer, const Scheme& scheme, const std::stop_token& stop)
{
    auto rows = LayerRows::create(scheme, StepRule::Estimated, layer.rows, layer.columns);
    if (!rows)
        return tl::unexpected(rows.error());
    if (!rows->begin(layer.weights, {}, {}, stop))
        return calibrationStopped();
    const auto quantized = rows->quantize(stop);
    if (quantized.empty())
        return calibrationStopped();
    return LayerRounding {.start = LayerStart::Nearest, .quantized = {quantized.begin(), quantized.end()}};
}

}  // namespace

Result<std::vector<LayerRounding>> roundLayer(const LayerToTrain& layer, const Scheme& scheme, LayerStart start,
    const std::stop_token& stop, const ProgressShare& progress)
{
    std::vector<LayerRounding> roundings;
    auto nearest = roundToNearest(layer, scheme, stop);
    if (!nearest)
        return tl::unexpected(nearest.error());
    roundings.push_back(std::move(*nearest));
    LayerInputs own;
    const auto* inputs = layer.training;
    if (!knowsMoments(*inputs)) {
        own = momentsOfSample(*inputs, stop);
        inputs = &own;
    }
    const auto [first, second] = progress.split(0.5);
    for (const auto& [algorithm, kind, share] : {std::tuple(Algorithm::Gptq, LayerStart::Gptq, first),
             std::tuple(Algorithm::Cd, LayerStart::Descent, second)}) {
        if (kind == LayerStart::Descent && start != LayerStart::Best && start != LayerStart::Descent)
            continue;
        auto calibrated = scheme;
        calibrated.algorithms = {algorithm};
        if (auto reason = algorithmRefusal(calibrated, Calibration::Given); !reason.empty()) {
            if (start == kind)
                return failure(ErrorCode::Unsupported, "scheme '" + scheme.toString() + "'",
                    "cannot begin from " + std::string(nameOf(start)) + ": " + reason);
            continue;
        }
        auto rounded = quantizeWithInputs(layer.weights, layer.rows, calibrated, *inputs, {}, stop, share);
        if (!rounded)
            return tl::unexpected(rounded.error());
        roundings.push_back({kind, std::move(rounded->weights), std::move(rounded->grids)});
    }
    return roundings;
}

std::vector<float> meanSquaresOf(const LayerInputs& inputs)
{
    if (knowsMoments(inputs))
        return meanSquares(inputs);
    std::vector<double> sums(inputs.columns);
    for (std::size_t i = 0; i < inputs.sample.size(); ++i)
        sums[i % inputs.columns] += static_cast<double>(inputs.sample[i]) * static_cast<double>(inputs.sample[i]);
    std::vector<float> squares(inputs.columns);
    for (std::size_t i = 0; i < squares.size(); ++i)
        squares[i] = static_cast<float>(sums[i] / static_cast<double>(inputs.sampleTokens()));
    return squares;
}

}  // namespace quantloupe
