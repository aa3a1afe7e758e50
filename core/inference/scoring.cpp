// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/scoring.h"

#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

/// Rows of the output head, and predictions, that are worked on together.
constexpr std::size_t kVocabularyTile = 1'024;
constexpr std::size_t kPredictionTile = 64;

/// Some outputs of the head, ready to be multiplied with.
struct HeadTile {
    LoadedLayers base {}, other {};  ///< other: only where it is replaced
    std::vector<float> bias {};

    const LoadedLayers& ofOther() const { return other.weights.empty() ? base : other; }
};

Result<std::vector<float>> headBias(
    const Decoder& decoder, std::size_t first, std::size_t count, const std::stop_token& stop)
{
    if (!decoder.head.bias)
        return std::vector<float>();
    auto bias = loadVector(*decoder.model, *decoder.head.bias, stop);
    if (bias)
        bias = std::vector<float>(bias->begin() + static_cast<std::ptrdiff_t>(first),
            bias->begin() + static_cast<std::ptrdiff_t>(first + count));
    return bias;
}

Result<HeadTile> loadTile(
    const Decoder& decoder, std::size_t row, const Replacers& replacers, const std::stop_token& stop)
{
    const auto& head = decoder.head;
    const LinearLayer layer {.tensor = head.tensor,
        .firstRow = head.firstRow + row,
        .outputs = std::min(kVocabularyTile, head.outputs - row),
        .inputs = head.inputs};
    HeadTile tile;
    auto base = loadLayers(*decoder.model, std::span(&layer, 1), {}, stop);
    if (!base)
        return tl::unexpected(base.error());
    tile.base = std::move(*base);
    if (replacers.contains(head.tensor)) {
        auto other = loadLayers(*decoder.model, std::span(&layer, 1), replacers, stop);
        if (!other)
            return tl::unexpected(other.error());
        tile.other = std::move(*other);
    }
    auto bias = headBias(decoder, row, layer.outputs, stop);
    if (!bias)
        return tl::unexpected(bias.error());
    tile.bias = std::move(*bias);
    return tile;
}

std::vector<float> logitsOf(const Decoder& decoder, std::span<const float> rows, std::size_t first, std::size_t count,
    const LoadedLayers& weights, const std::vector<float>& bias)
{
    const auto hidden = decoder.hidden;
    std::vector<float> values(count * weights.outputs);
    const kernels::MutableMatrix result {values.data(), count, weights.outputs, weights.outputs};
    kernels::multiplyByTransposed({rows.data() + first * hidden, count, hidden, hidden}, weights.matrix(), result);
    addBias(bias, result);
    addBias(weights.bias, result);  // what a replacer gives back
    if (decoder.outputCap > 0.0F)
        softCap(values, decoder.outputCap);
    return values;
}

}  // namespace

Predictions predictionsOf(const WindowedText& text, std::size_t first, std::size_t last)
{
    Predictions predictions;
    std::size_t firstRow = 0;
    for (auto i = first; i < last; ++i) {
        const auto& window = text.windows[i];
        const auto before = predictions.rows.size();
        for (auto position = window.firstScored; position + 1 < window.length; ++position) {
            predictions.rows.push_back(firstRow + position);
            predictions.targets.push_back(text.token(window, position + 1));
        }
        firstRow += window.length;
        for (auto at = before; at < predictions.rows.size(); at += kPredictionTile)
            predictions.pieces.push_back({at, std::min(kPredictionTile, predictions.rows.size() - at)});
    }
    return predictions;
}

Result<std::vector<TokenScore>> scorePredictions(const Decoder& decoder, const Predictions& predictions,
    const HeadInputs& inputs, std::stop_token stop, const ProgressShare& progress)
{
    const auto& head = decoder.head;
    const auto& tensor = decoder.model->tensors[head.tensor];
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const bool same = inputs.other.empty() && !inputs.replacers.contains(head.tensor);
    const auto other = inputs.other.empty() ? inputs.base : inputs.other;

    std::vector<LogitComparison> comparisons(predictions.targets.begin(), predictions.targets.end());
    for (std::size_t row = 0; row < head.outputs; row += kVocabularyTile) {
        const auto tile = loadTile(decoder, row, inputs.replacers, stop);
        if (!tile)
            return tl::unexpected(tile.error());
        forEachPiece(predictions.pieces.size(), stop, [&](std::size_t piece) {
            const auto [first, count] = predictions.pieces[piece];
            const auto baseLogits = logitsOf(decoder, inputs.base, first, count, tile->base, tile->bias);
            const auto otherLogits =
                same ? std::vector<float>() : logitsOf(decoder, other, first, count, tile->ofOther(), tile->bias);
            const auto outputs = tile->base.outputs;
            for (std::size_t i = 0; i < count; ++i) {
                const auto mine = std::span(baseLogits).subspan(i * outputs, outputs);
                comparisons[first + i].add(static_cast<std::uint32_t>(row), mine,
                    same ? mine : std::span(otherLogits).subspan(i * outputs, outputs));
            }
        });
        if (stop.stop_requested())
            return stopped(tensor.name);
        progress.advance(row, row + tile->base.outputs, head.outputs);
    }
    releaseBytes(tensor.view);
    std::vector<TokenScore> scores;
    scores.reserve(comparisons.size());
    for (const auto& comparison : comparisons)
        scores.push_back(comparison.score());
    return scores;
}

std::uint64_t scoringBytes(const Decoder& decoder)
{
    return 3 * std::uint64_t {kVocabularyTile} * decoder.hidden * sizeof(float);
}

Result<void> requireFinite(const Decoder& decoder, std::span<const TokenScore> scores)
{
    const auto isFinite = [](const TokenScore& score) {
        return std::isfinite(score.negativeLogBase) && std::isfinite(score.negativeLog);
    };
    if (!std::all_of(scores.begin(), scores.end(), isFinite))
        return failure(
            ErrorCode::Malformed, decoder.model->path.string(), "logits overflow: the model cannot be run in float32");
    return {};
}

}  // namespace quantloupe
