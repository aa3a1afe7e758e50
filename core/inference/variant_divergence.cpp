// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/variant_divergence.h"

#include "core/base/compute_arena.h"
#include "core/inference/scoring.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>

namespace quantloupe {
namespace {

/// Where the blocks of a model begin to differ: the first that reads one of the tensors; 0 for the embedding, behind
/// the last block for the output head alone.
std::size_t firstBlockOf(const Decoder& decoder, std::span<const std::size_t> tensors)
{
    const auto holds = [&](std::size_t tensor) {
        return std::find(tensors.begin(), tensors.end(), tensor) != tensors.end();
    };
    if (holds(decoder.embedding))
        return 0;
    std::size_t block = 0;
    while (block < decoder.blocks.size()) {
        const auto own = matricesOf(decoder.blocks[block]);
        if (std::any_of(own.begin(), own.end(), holds))
            break;
        ++block;
    }
    return block;
}

/// Of the mean over windows, each weighed by its predictions.
double standardErrorOf(const WindowedText& text, std::span<const TokenScore> scores, double mean)
{
    if (text.windows.size() < 2)
        return 0.0;
    double squares = 0.0;
    std::size_t first = 0;
    for (const auto& window : text.windows) {
        double deviation = 0.0;
        for (std::size_t i = 0; i < window.scored(); ++i)
            deviation += scores[first + i].divergence - mean;
        squares += deviation * deviation;
        first += window.scored();
    }
    const auto windows = static_cast<double>(text.windows.size());
    return std::sqrt(squares * windows / (windows - 1.0)) / static_cast<double>(scores.size());
}

class VariantRun
{
public:
    VariantRun(const Decoder& decoder, const WindowedText& text, std::stop_token stop, Progress& progress)
        : m_decoder(decoder)
        , m_text(text)
        , m_predictions(predictionsOf(text, 0, text.windows.size()))
        , m_stop(std::move(stop))
        , m_progress(progress)
    {
    }

    void announce(std::span<const ModelVariant> variants)
    {
        std::uint64_t bytes = bytesFrom(0) - headBytes();
        for (const auto& variant : variants)
            bytes += bytesFrom(firstBlockOf(m_decoder, variant.tensors)) + headBytes();
        m_progress.totalBytes = bytes;
        m_progress.totalItems = static_cast<std::uint32_t>(variants.size());
    }

    /// Variants that are not known yet may differ from the first block on.
    void announce(std::size_t expected)
    {
        m_progress.totalBytes = bytesFrom(0) - headBytes() + expected * (bytesFrom(0) + headBytes());
        m_progress.totalItems = static_cast<std::uint32_t>(expected);
    }

    Result<void> runBase()
    {
        auto states = embed(m_decoder, m_text, 0, m_text.windows.size(), {}, m_stop);
        if (!states)
            return tl::unexpected(states.error());
        m_tables.emplace(m_decoder, states->sequences);
        m_before.push_back(copyOf(*states, m_stop));
        for (std::size_t block = 0; block < m_decoder.blocks.size(); ++block) {
            if (auto done = runThrough(block, *states, {}); !done)
                return done;
            m_before.push_back(copyOf(*states, m_stop));
        }
        auto rows = normOutputs(m_decoder, *states, m_predictions.rows, m_stop);
        if (!rows)
            return tl::unexpected(rows.error());
        m_baseRows = std::move(*rows);
        return {};
    }

    Result<VariantDivergence> runVariant(const ModelVariant& variant)
    {
        const auto ends = askFor(variant.hooks, std::vector {m_decoder.embedding, m_decoder.head.tensor});
        if (!ends)
            return tl::unexpected(ends.error());
        const auto first = firstBlockOf(m_decoder, variant.tensors);
        HiddenStates states;
        if (const auto& replacer = ends->weightsOf(m_decoder.embedding)) {
            auto embedded = embed(m_decoder, m_text, 0, m_text.windows.size(), replacer, m_stop);
            if (!embedded)
                return tl::unexpected(embedded.error());
            states = std::move(*embedded);
        } else {
            states = copyOf(m_before[first], m_stop);
        }
        for (auto block = first; block < m_decoder.blocks.size(); ++block)
            if (auto done = runThrough(block, states, variant.hooks); !done)
                return tl::unexpected(done.error());
        const auto rows =
            normOutputs(m_decoder, states, m_predictions.rows, m_stop, ends->inputsOf(m_decoder.head.tensor));
        if (!rows)
            return tl::unexpected(rows.error());
        const auto scores = scorePredictions(
            m_decoder, m_predictions, {m_baseRows, *rows, ends->weights}, m_stop, {m_progress, 2 * headBytes()});
        if (!scores)
            return tl::unexpected(scores.error());
        if (auto finite = requireFinite(m_decoder, *scores); !finite)
            return tl::unexpected(finite.error());
        ++m_progress.doneItems;
        const auto divergence = divergenceOf(*scores);
        return VariantDivergence {divergence, standardErrorOf(m_text, *scores, divergence.mean)};
    }

private:
    std::uint64_t headBytes() const { return m_decoder.model->tensors[m_decoder.head.tensor].bytes(); }

    /// Of the weights from a block on, and of the head.
    std::uint64_t bytesFrom(std::size_t block) const
    {
        std::uint64_t bytes = headBytes();
        for (; block < m_decoder.blocks.size(); ++block)
            for (const auto tensor : matricesOf(m_decoder.blocks[block]))
                bytes += m_decoder.model->tensors[tensor].bytes();
        return bytes;
    }

    Result<void> runThrough(std::size_t block, HiddenStates& states, const ForwardHooks& hooks)
    {
        const auto held = HeldBlock::hold(m_decoder, block, m_stop);
        if (!held)
            return tl::unexpected(held.error());
        const auto replaced = askFor(hooks, held->tensors());
        if (!replaced)
            return tl::unexpected(replaced.error());
        const LayerObserver nobody;
        const CacheReplacer cache;
        const BlockRun run {
            m_decoder, *m_tables, replaced->weights, nobody, m_stop, replaced->inputs, cache, hooks.divisors};
        return runBlock(run, block, states, {m_progress, held->storedBytes()});
    }

    const Decoder& m_decoder;
    const WindowedText& m_text;
    Predictions m_predictions;
    std::stop_token m_stop;
    Progress& m_progress;
    std::optional<RotaryTables> m_tables {};
    std::vector<HiddenStates> m_before {};  ///< the residual stream in front of each block, and behind the last
    ZeroedArray<float> m_baseRows {};
};

/// The residual streams of every block and of one variant, what its blocks work in, and what is scored.
Result<void> requireMemory(const Decoder& decoder, const WindowedText& text, std::uint64_t memory)
{
    const auto attention = 2 * decoder.queryColumns() + 2 * decoder.keyColumns();
    const auto perToken = sizeof(float) * ((decoder.blocks.size() + 6) * decoder.hidden + attention)
        + sizeof(LogitComparison) + sizeof(TokenScore);
    const auto fixed = workingBytes(decoder) + scoringBytes(decoder);
    std::uint64_t tokens = 0;
    for (const auto& window : text.windows)
        tokens += window.length;
    if (fixed + tokens * perToken <= memory)
        return {};
    const auto enough = memory > fixed ? (memory - fixed) / perToken : 0;
    return failure(ErrorCode::InvalidArgument, "memory",
        std::to_string(memory) + " bytes are enough for " + std::to_string(enough) + " of the " + std::to_string(tokens)
            + " tokens: what goes in front of each block is kept");
}

Result<void> requireMeasurable(const Decoder& decoder, const WindowedText& text, std::uint64_t memory)
{
    if (auto readable = requireReadable(decoder, text); !readable)
        return readable;
    if (text.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "text", "there is no prediction to score");
    return requireMemory(decoder, text, memory);
}

}  // namespace

Result<void> measureVariants(const Decoder& decoder, const WindowedText& text, std::span<const ModelVariant> variants,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress, const VariantSink& sink)
{
    if (auto measurable = requireMeasurable(decoder, text, limits.memory); !measurable)
        return measurable;
    VariantRun run(decoder, text, std::move(stop), progress);
    run.announce(variants);
    ComputeArena arena(limits.threads);
    if (auto done = arena.execute([&] { return run.runBase(); }); !done)
        return done;
    for (std::size_t i = 0; i < variants.size(); ++i) {
        const auto divergence = arena.execute([&] { return run.runVariant(variants[i]); });
        if (!divergence)
            return tl::unexpected(divergence.error());
        if (auto taken = sink(i, *divergence); !taken)
            return taken;
    }
    return {};
}

Result<VariantMeasurer> VariantMeasurer::begin(const Decoder& decoder, const WindowedText& text, std::size_t expected,
    const EvaluationLimits& limits, std::stop_token stop, Progress& progress)
{
    if (auto measurable = requireMeasurable(decoder, text, limits.memory); !measurable)
        return tl::unexpected(measurable.error());
    const auto arena = std::make_shared<ComputeArena>(limits.threads);
    const auto run = std::make_shared<VariantRun>(decoder, text, std::move(stop), progress);
    run->announce(expected);
    if (auto done = arena->execute([&] { return run->runBase(); }); !done)
        return tl::unexpected(done.error());
    return VariantMeasurer(
        [arena, run](const ModelVariant& variant) { return arena->execute([&] { return run->runVariant(variant); }); });
}

}  // namespace quantloupe
