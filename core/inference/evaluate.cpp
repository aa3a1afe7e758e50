// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/evaluate.h"

#include "core/base/compute_arena.h"
#include "core/base/progress_share.h"
#include "core/inference/pieces.h"
#include "core/inference/scoring.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace quantloupe {
namespace {

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
        std::stop_token stop, Progress& progress, const EvaluationWatcher& watch)
        : m_decoder(decoder)
        , m_text(text)
        , m_hooks(hooks)
        , m_cache(std::move(cache))
        , m_stop(std::move(stop))
        , m_progress(progress)
        , m_watch(watch)
        , m_exact(decoder)
        , m_changes(hooks.changes() || decoder.integerFunctions)
        , m_depth(m_changes ? decoder.blocks.size() + 1 : 0)
        , m_soFar {.tokens = text.tokens.size()}
    {
        setIntegerFunctions(m_exact, false);
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

    Result<void> runBatch(std::size_t first, std::size_t last)
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
        tell();
        const RotaryTables rotaryTables(m_decoder, base->sequences);
        for (std::size_t block = 0; block < m_decoder.blocks.size(); ++block)
            if (auto done = runBoth(block, rotaryTables, *base, other); !done)
                return done;
        if (auto done = score(predictionsOf(m_text, first, last), *tables, *base, other); !done)
            return done;
        m_soFar.windows = last;
        if (m_watch && last < m_text.windows.size()) {
            describeScores();
            tell();
        }
        return {};
    }

    /// Of all batches.
    Result<Evaluation> take()
    {
        if (auto finite = requireFinite(m_decoder, m_scores); !finite)
            return tl::unexpected(finite.error());
        describeScores();
        m_soFar.depth = std::move(m_depth);
        return std::move(m_soFar);
    }

private:
    std::uint64_t streams() const { return m_changes ? 2 : 1; }
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
        if (!other && (m_decoder.integerFunctions || m_cache || !m_hooks.divisors.empty() || !replaced->empty()))
            other = copyOf(base, m_stop);
        const ProgressShare share(m_progress, held->storedBytes());
        const Replacers none;
        const LayerObserver nobody;
        if (auto done = runBlock({m_exact, rotaryTables, none, nobody, m_stop}, block, base, share); !done)
            return done;
        if (other) {
            const BlockRun run {m_decoder, rotaryTables, replaced->weights, m_hooks.beforeLayer, m_stop,
                replaced->inputs, m_cache, m_hooks.divisors};
            if (auto done = runBlock(run, block, *other, share); !done)
                return done;
        } else if (m_changes) {
            share.finish();
        }
        addDepth(block + 1, base, other);
        m_progress.doneItems += static_cast<std::uint32_t>(held->tensors().size());
        tell();
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
        m_passed = std::max(m_passed, depth + 1);
    }

    void tell()
    {
        if (!m_watch)
            return;
        m_soFar.depth.assign(m_depth.begin(), m_depth.begin() + static_cast<std::ptrdiff_t>(m_passed));
        m_watch(m_soFar);
    }

    void describeScores()
    {
        m_soFar.scored = m_scores.size();
        m_soFar.base = perplexityOf(m_scores, &TokenScore::negativeLogBase);
        if (m_changes) {
            m_soFar.quantized = perplexityOf(m_scores, &TokenScore::negativeLog);
            m_soFar.divergence = divergenceOf(m_scores);
        }
    }

    /// All predictions of a batch against the output head.
    Result<void> score(
        const Predictions& predictions, const Replaced& tables, HiddenStates& base, std::optional<HiddenStates>& other)
    {
        const auto baseRows = normOutputs(m_exact, base, predictions.rows, m_stop);
        if (!baseRows)
            return tl::unexpected(baseRows.error());
        ZeroedArray<float> otherRows;
        const auto* headInputs = tables.inputsOf(m_decoder.head.tensor);
        if (other || headInputs) {
            auto rows = normOutputs(m_decoder, other ? *other : base, predictions.rows, m_stop, headInputs);
            if (!rows)
                return tl::unexpected(rows.error());
            otherRows = std::move(*rows);
        }
        base = {};
        other.reset();
        auto scored = scorePredictions(m_decoder, predictions, {*baseRows, otherRows, tables.weights}, m_stop,
            {m_progress, headBytes() * streams()});
        if (!scored)
            return tl::unexpected(scored.error());
        ++m_progress.doneItems;
        m_scores.insert(m_scores.end(), scored->begin(), scored->end());
        return {};
    }

    const Decoder& m_decoder;
    const WindowedText& m_text;
    const ForwardHooks& m_hooks;
    CacheReplacer m_cache;
    std::stop_token m_stop;
    Progress& m_progress;
    const EvaluationWatcher& m_watch;
    Decoder m_exact;  ///< without functions in integers
    bool m_changes;
    std::vector<DepthError> m_depth;
    std::size_t m_passed = 0;  ///< places that m_depth knows of
    std::vector<TokenScore> m_scores;
    Evaluation m_soFar;
};

/// Ends of the batches, which hold whole calls: index of the window behind each.
Result<std::vector<std::size_t>> cutBatches(
    const Decoder& decoder, const WindowedText& text, std::uint64_t memory, bool two)
{
    const auto fixed = workingBytes(decoder) + scoringBytes(decoder);
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
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress, const EvaluationWatcher& watch)
{
    if (auto readable = requireReadable(decoder, text); !readable)
        return tl::unexpected(readable.error());
    if (text.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "text", "there is no prediction to score");
    const bool changes = changed.changes() || decoder.integerFunctions;
    const auto batches = cutBatches(decoder, text, limits.memory, changes);
    if (!batches)
        return tl::unexpected(batches.error());
    auto cache = askFor(changed.cache, decoder);
    if (!cache)
        return tl::unexpected(cache.error());
    Evaluator evaluator(decoder, text, changed, std::move(*cache), stop, progress, watch);
    evaluator.announce(batches->size());
    std::size_t first = 0;
    ComputeArena arena(limits.threads);
    for (const auto end : *batches) {
        if (auto done = arena.execute([&] { return evaluator.runBatch(first, end); }); !done)
            return tl::unexpected(done.error());
        first = end;
    }
    return evaluator.take();
}

}  // namespace quantloupe
