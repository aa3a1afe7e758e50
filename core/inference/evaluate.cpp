// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/evaluate.h"

#include "core/base/compute_arena.h"
#include "core/base/progress_share.h"
#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace quantloupe {
namespace {

/// Rows of the output head, and predictions, that are worked on together.
constexpr std::size_t kVocabularyTile = 1'024;
constexpr std::size_t kPredictionTile = 64;

/// Which rows of a batch are scored, and by which token.
struct Predictions {
    struct Piece {
        std::size_t first = 0, count = 0;
    };
    std::vector<std::size_t> rows;
    std::vector<std::uint32_t> targets;
    std::vector<Piece> pieces;  ///< worked on together: of one window each, whatever else is in the batch
};

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

/// Bytes of a token's residual stream, of its copies for mixtures and scoring, of queries, keys and values.
std::uint64_t bytesPerToken(const Decoder& decoder, bool two)
{
    const bool mixture = decoder.expertsPerToken > 0;
    const auto streams = std::uint64_t {two ? 2U : 1U} * 2 + (mixture ? 1 : 0);
    const auto attention = 2 * decoder.queryColumns() + 2 * decoder.keyColumns();
    return sizeof(float) * (streams * decoder.hidden + attention) + sizeof(LogitComparison) + sizeof(TokenScore)
        + 16 * decoder.expertsPerToken;
}

DepthError depthError(std::span<const float> base, std::span<const float> other)
{
    DepthError sums;
    for (std::size_t i = 0; i < base.size(); ++i) {
        const double value = double(base[i]), difference = value - double(other[i]);
        sums.signal += value * value;
        sums.noise += difference * difference;
    }
    return sums;
}

class Evaluator
{
public:
    Evaluator(const Decoder& decoder, const WindowedText& text, const ForwardHooks& hooks, CacheReplacer cache,
        std::stop_token stop, Progress& progress)
        : m_decoder(decoder)
        , m_text(text)
        , m_hooks(hooks)
        , m_cache(std::move(cache))
        , m_stop(std::move(stop))
        , m_progress(progress)
        , m_depth(hooks.changes() ? decoder.blocks.size() + 1 : 0)
    {
    }

    /// Tells the progress what there is to do.
    void announce(std::size_t batches)
    {
        std::uint64_t bytes = headBytes();
        std::size_t items = 1;
        for (const auto& block : m_decoder.blocks) {
            const auto tensors = matricesOf(block);
            items += tensors.size();
            for (const auto tensor : tensors)
                bytes += m_decoder.model->tensors[tensor].bytes();
        }
        m_progress.totalBytes = bytes * batches * streams();
        m_progress.totalItems = static_cast<std::uint32_t>(items * batches);
    }

    Result<void> runBatch(std::size_t first, std::size_t last, std::vector<TokenScore>& scores)
    {
        const auto tables = askFor(m_hooks, std::vector {m_decoder.embedding, m_decoder.head.tensor});
        if (!tables)
            return tl::unexpected(tables.error());
        auto base = embed(m_decoder, m_text, first, last, {}, m_stop);
        if (!base)
            return tl::unexpected(base.error());
        std::optional<HiddenStates> other;
        if (const auto& replacer = tables->weightsOf(m_decoder.embedding)) {
            auto replaced = embed(m_decoder, m_text, first, last, replacer, m_stop);
            if (!replaced)
                return tl::unexpected(replaced.error());
            other = std::move(*replaced);
        }
        addDepth(0, *base, other);
        const RotaryTables rotaryTables(m_decoder, base->sequences);
        for (std::size_t block = 0; block < m_decoder.blocks.size(); ++block)
            if (auto done = runBoth(block, rotaryTables, *base, other); !done)
                return done;
        return score(predictionsOf(m_text, first, last), *tables, *base, other, scores);
    }

    std::vector<DepthError> takeDepth() { return std::move(m_depth); }

private:
    std::uint64_t streams() const { return m_hooks.changes() ? 2 : 1; }
    std::uint64_t headBytes() const { return m_decoder.model->tensors[m_decoder.head.tensor].bytes(); }

    /// Both streams through one block; the second begins where the first tensor is replaced.
    Result<void> runBoth(
        std::size_t block, const RotaryTables& rotaryTables, HiddenStates& base, std::optional<HiddenStates>& other)
    {
        const auto held = HeldBlock::hold(m_decoder, block, m_stop);
        if (!held)
            return tl::unexpected(held.error());
        const auto replaced = askFor(m_hooks, held->tensors());
        if (!replaced)
            return tl::unexpected(replaced.error());
        if (!other && (m_cache || !m_hooks.divisors.empty() || !replaced->empty()))
            other = base;
        const ProgressShare share(m_progress, held->storedBytes());
        const Replacers none;
        const LayerObserver nobody;
        if (auto done = runBlock({m_decoder, rotaryTables, none, nobody, m_stop}, block, base, share); !done)
            return done;
        if (other) {
            const BlockRun run {m_decoder, rotaryTables, replaced->weights, m_hooks.beforeLayer, m_stop,
                replaced->inputs, m_cache, m_hooks.divisors};
            if (auto done = runBlock(run, block, *other, share); !done)
                return done;
        } else if (m_hooks.changes()) {
            share.finish();
        }
        addDepth(block + 1, base, other);
        m_progress.doneItems += static_cast<std::uint32_t>(held->tensors().size());
        return {};
    }

    /// Tiles are summed by themselves and added in order, so that neither threads nor batches change the bits.
    void addDepth(std::size_t depth, const HiddenStates& base, const std::optional<HiddenStates>& other)
    {
        if (m_depth.empty())
            return;
        const auto tiles = tilesOf(base);
        std::vector<DepthError> ofTiles(tiles.size());
        forEachPiece(tiles.size(), m_stop, [&](std::size_t i) {
            const auto first = tiles[i].firstRow * base.hidden, count = tiles[i].count * base.hidden;
            const auto values = std::span(base.values).subspan(first, count);
            ofTiles[i] = depthError(values, other ? std::span(other->values).subspan(first, count) : values);
        });
        for (const auto& tile : ofTiles) {
            m_depth[depth].signal += tile.signal;
            m_depth[depth].noise += tile.noise;
        }
    }

    /// All predictions of a batch against the output head, a tile of the vocabulary at a time.
    Result<void> score(const Predictions& predictions, const Replaced& tables, HiddenStates& base,
        std::optional<HiddenStates>& other, std::vector<TokenScore>& scores)
    {
        const auto& head = m_decoder.head;
        const auto& model = *m_decoder.model;
        const auto held = holdReadable(model.tensors[head.tensor], m_stop);
        if (!held)
            return tl::unexpected(held.error());
        auto baseRows = normOutputs(m_decoder, base, predictions.rows, m_stop);
        if (!baseRows)
            return tl::unexpected(baseRows.error());
        std::vector<float> otherRows;
        const auto* headInputs = tables.inputsOf(head.tensor);
        if (other || headInputs) {
            auto rows = normOutputs(m_decoder, other ? *other : base, predictions.rows, m_stop, headInputs);
            if (!rows)
                return tl::unexpected(rows.error());
            otherRows = std::move(*rows);
        }
        base = {};
        other.reset();
        const bool replacesHead = tables.weights.contains(head.tensor);
        const auto& second = otherRows.empty() ? *baseRows : otherRows;
        const bool same = otherRows.empty() && !replacesHead;

        std::vector<LogitComparison> comparisons(predictions.targets.begin(), predictions.targets.end());
        const ProgressShare share(m_progress, headBytes() * streams());
        for (std::size_t row = 0; row < head.outputs; row += kVocabularyTile) {
            const LinearLayer tile {.tensor = head.tensor,
                .firstRow = head.firstRow + row,
                .outputs = std::min(kVocabularyTile, head.outputs - row),
                .inputs = head.inputs};
            const auto weights = loadLayers(model, std::span(&tile, 1), {}, m_stop);
            if (!weights)
                return tl::unexpected(weights.error());
            const auto replaced =
                replacesHead ? loadLayers(model, std::span(&tile, 1), tables.weights, m_stop) : Result<LoadedLayers>();
            if (!replaced)
                return tl::unexpected(replaced.error());
            auto bias = headBias(row, tile.outputs);
            if (!bias)
                return tl::unexpected(bias.error());
            forEachPiece(predictions.pieces.size(), m_stop, [&](std::size_t piece) {
                const auto [first, count] = predictions.pieces[piece];
                const auto baseLogits = logits(*baseRows, first, count, *weights, *bias);
                const auto otherLogits = same
                    ? std::vector<float>()
                    : logits(second, first, count, replacesHead ? *replaced : *weights, *bias);
                for (std::size_t i = 0; i < count; ++i) {
                    const auto mine = std::span(baseLogits).subspan(i * tile.outputs, tile.outputs);
                    comparisons[first + i].add(static_cast<std::uint32_t>(row), mine,
                        same ? mine : std::span(otherLogits).subspan(i * tile.outputs, tile.outputs));
                }
            });
            if (m_stop.stop_requested())
                return stopped(model.tensors[head.tensor].name);
            share.advance(row, row + tile.outputs, head.outputs);
        }
        ++m_progress.doneItems;
        releaseBytes(model.tensors[head.tensor].view);
        for (const auto& comparison : comparisons)
            scores.push_back(comparison.score());
        return {};
    }

    Result<std::vector<float>> headBias(std::size_t first, std::size_t count) const
    {
        if (!m_decoder.head.bias)
            return std::vector<float>();
        auto bias = loadVector(*m_decoder.model, *m_decoder.head.bias, m_stop);
        if (bias)
            bias = std::vector<float>(bias->begin() + static_cast<std::ptrdiff_t>(first),
                bias->begin() + static_cast<std::ptrdiff_t>(first + count));
        return bias;
    }

    std::vector<float> logits(const std::vector<float>& rows, std::size_t first, std::size_t count,
        const LoadedLayers& weights, const std::vector<float>& bias) const
    {
        const auto hidden = m_decoder.hidden;
        std::vector<float> values(count * weights.outputs);
        const kernels::MutableMatrix result {values.data(), count, weights.outputs, weights.outputs};
        kernels::multiplyByTransposed({rows.data() + first * hidden, count, hidden, hidden}, weights.matrix(), result);
        addBias(bias, result);
        if (m_decoder.outputCap > 0.0F)
            softCap(values, m_decoder.outputCap);
        return values;
    }

    const Decoder& m_decoder;
    const WindowedText& m_text;
    const ForwardHooks& m_hooks;
    CacheReplacer m_cache;
    std::stop_token m_stop;
    Progress& m_progress;
    std::vector<DepthError> m_depth;
};

/// Ends of the batches, which hold whole calls: index of the window behind each.
Result<std::vector<std::size_t>> cutBatches(
    const Decoder& decoder, const WindowedText& text, std::uint64_t memory, bool two)
{
    const auto fixed = workingBytes(decoder) + 3 * std::uint64_t {kVocabularyTile} * decoder.hidden * sizeof(float);
    const auto perToken = bytesPerToken(decoder, two);
    const auto needed = [&](std::uint64_t tokens) { return fixed + tokens * perToken; };
    std::vector<std::size_t> ends;
    std::uint64_t tokens = 0;
    for (std::size_t first = 0; first < text.windows.size(); first += text.windowsPerCall) {
        std::uint64_t length = 0;
        for (auto i = first; i < std::min(first + text.windowsPerCall, text.windows.size()); ++i)
            length += text.windows[i].length;
        if (needed(length) > memory)
            return failure(ErrorCode::InvalidArgument, "memory",
                std::to_string(memory) + " bytes are too few: the windows of one call and the weights beside them take "
                    + std::to_string(needed(length)));
        if (tokens > 0 && needed(tokens + length) > memory) {
            ends.push_back(first);
            tokens = 0;
        }
        tokens += length;
    }
    ends.push_back(text.windows.size());
    return ends;
}

}  // namespace

double DepthError::sqnr() const
{
    return noise > 0.0 ? 10.0 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

Result<Evaluation> evaluate(const Decoder& decoder, const WindowedText& text, const ForwardHooks& changed,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress)
{
    if (auto readable = requireReadable(decoder, text); !readable)
        return tl::unexpected(readable.error());
    if (text.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "text", "there is no prediction to score");
    const auto batches = cutBatches(decoder, text, limits.memory, changed.changes());
    if (!batches)
        return tl::unexpected(batches.error());
    auto cache = askFor(changed.cache, decoder);
    if (!cache)
        return tl::unexpected(cache.error());
    Evaluator evaluator(decoder, text, changed, std::move(*cache), stop, progress);
    evaluator.announce(batches->size());
    std::vector<TokenScore> scores;
    std::size_t first = 0;
    ComputeArena arena(limits.threads);
    for (const auto end : *batches) {
        if (auto done = arena.execute([&] { return evaluator.runBatch(first, end, scores); }); !done)
            return tl::unexpected(done.error());
        first = end;
    }
    const auto isFinite = [](const TokenScore& score) {
        return std::isfinite(score.negativeLogBase) && std::isfinite(score.negativeLog);
    };
    if (!std::all_of(scores.begin(), scores.end(), isFinite))
        return failure(
            ErrorCode::Malformed, decoder.model->path.string(), "logits overflow: the model cannot be run in float32");
    Evaluation evaluation {.tokens = text.tokens.size(), .windows = text.windows.size(), .scored = scores.size()};
    evaluation.base = perplexityOf(scores, &TokenScore::negativeLogBase);
    if (changed.changes()) {
        evaluation.depth = evaluator.takeDepth();
        evaluation.quantized = perplexityOf(scores, &TokenScore::negativeLog);
        evaluation.divergence = divergenceOf(scores);
    }
    return evaluation;
}

}  // namespace quantloupe
