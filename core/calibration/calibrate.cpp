// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/calibrate.h"

#include "core/base/compute_arena.h"
#include "core/base/hash.h"
#include "core/inference/forward.h"
#include "core/inference/pieces.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <numeric>

namespace quantloupe {
namespace {

/// Windows [first, last) of the text, whose tokens begin at `firstToken`.
struct WindowBatch {
    std::size_t first = 0, last = 0;
    std::size_t firstToken = 0, tokens = 0;
};

std::vector<SharedInput> headInput(const Decoder& decoder)
{
    return {{{decoder.head}}};
}

/// Bytes beside the weights and moments that a token of a batch takes: the stream and its copies, queries, keys, values
/// and what they attend to, and the rows that are gathered.
std::uint64_t bytesPerBatchToken(const Decoder& decoder)
{
    std::uint64_t gathered = InputGatherer::bytesPerToken(headInput(decoder));
    for (std::size_t block = 0; block < decoder.blocks.size(); ++block)
        gathered = std::max(gathered, InputGatherer::bytesPerToken(sharedInputsOf(decoder, block)));
    const std::uint64_t streams = decoder.expertsPerToken > 0 ? 3 : 2;
    const auto attention = 2 * decoder.queryColumns() + 2 * decoder.keyColumns();
    return sizeof(float) * (streams * decoder.hidden + attention) + 16 * decoder.expertsPerToken + gathered;
}

std::uint64_t largestFixedBytes(const Decoder& decoder, const GatheringOptions& options)
{
    std::uint64_t largest = InputGatherer::fixedBytes(headInput(decoder), options);
    for (std::size_t block = 0; block < decoder.blocks.size(); ++block)
        largest = std::max(largest, InputGatherer::fixedBytes(sharedInputsOf(decoder, block), options));
    return largest;
}

Result<std::vector<WindowBatch>> cutIntoBatches(
    const Decoder& decoder, const WindowedText& text, std::uint64_t fixed, std::uint64_t memory)
{
    const auto perToken = bytesPerBatchToken(decoder);
    std::vector<WindowBatch> batches;
    WindowBatch batch;
    for (std::size_t i = 0; i < text.windows.size(); ++i) {
        const auto length = text.windows[i].length;
        const auto needed = [&](std::uint64_t tokens) { return fixed + tokens * perToken; };
        if (needed(length) > memory)
            return failure(ErrorCode::InvalidArgument, "memory",
                std::to_string(memory) + " bytes are too few: a window, the weights and the moments beside it take "
                    + std::to_string(needed(length)));
        if (batch.tokens > 0 && needed(batch.tokens + length) > memory) {
            batches.push_back(batch);
            batch = {.first = i, .last = i, .firstToken = batch.firstToken + batch.tokens};
        }
        batch.last = i + 1;
        batch.tokens += length;
    }
    batches.push_back(batch);
    return batches;
}

class Calibrator
{
public:
    Calibrator(const Decoder& decoder, const WindowedText& text, const GatheringOptions& options,
        std::vector<WindowBatch> batches, const std::set<std::string>& known, ResidualStream& stream,
        const InputSink& sink, std::stop_token stop, Progress& progress)
        : m_decoder(decoder)
        , m_text(text)
        , m_options(options)
        , m_batches(std::move(batches))
        , m_tokens(tokensOf(text))
        , m_known(known)
        , m_stream(stream)
        , m_sink(sink)
        , m_stop(std::move(stop))
        , m_progress(progress)
    {
    }

    Result<void> run()
    {
        announce();
        if (!m_stream.nextBlock())
            if (auto done = m_stream.replace(
                    0, [&](const auto& append) { return embedAll(append); }, m_stop);
                !done)
                return done;
        while (*m_stream.nextBlock() < m_decoder.blocks.size()) {
            const auto block = *m_stream.nextBlock();
            auto done = m_stream.replace(
                block + 1, [&](const ResidualStream::Append& append) { return runBlockOnAll(block, append); }, m_stop);
            if (!done)
                return done;
        }
        return runHead();
    }

private:
    const ModelTensor& headTensor() const { return m_decoder.model->tensors[m_decoder.head.tensor]; }

    void announce()
    {
        std::uint64_t bytes = headTensor().bytes();
        std::size_t items = 1;
        for (auto block = m_stream.nextBlock().value_or(0); block < m_decoder.blocks.size(); ++block) {
            const auto tensors = matricesOf(m_decoder.blocks[block]);
            items += tensors.size();
            for (const auto tensor : tensors)
                bytes += m_decoder.model->tensors[tensor].bytes();
        }
        m_progress.totalBytes = bytes;
        m_progress.totalItems = static_cast<std::uint32_t>(items);
    }

    Result<void> embedAll(const ResidualStream::Append& append)
    {
        for (const auto& batch : m_batches) {
            auto states = embed(m_decoder, m_text, batch.first, batch.last, {}, m_stop);
            if (!states)
                return tl::unexpected(states.error());
            if (auto done = append(states->values); !done)
                return done;
        }
        return {};
    }

    /// What a stop leaves is of no use.
    HiddenStates statesOf(const WindowBatch& batch) const
    {
        HiddenStates states {.hidden = m_decoder.hidden, .firstToken = batch.firstToken};
        std::size_t row = 0;
        for (auto i = batch.first; i < batch.last; ++i) {
            states.sequences.push_back({row, m_text.windows[i].length});
            row += m_text.windows[i].length;
        }
        const auto rows = m_stream.rows(batch.firstToken, batch.tokens);
        fillRows(states, rows, m_stop);
        return states;
    }

    /// A batch's part of `bytes`, so that all batches add up to them.
    ProgressShare shareOf(const WindowBatch& batch, std::uint64_t bytes) const
    {
        const auto before = [&](std::size_t tokens) {
            return tokens == m_tokens ? bytes
                                      : static_cast<std::uint64_t>(static_cast<double>(bytes)
                                          * static_cast<double>(tokens) / static_cast<double>(m_tokens));
        };
        return {m_progress, before(batch.firstToken + batch.tokens) - before(batch.firstToken)};
    }

    Result<void> runBlockOnAll(std::size_t block, const ResidualStream::Append& append)
    {
        const auto held = HeldBlock::hold(m_decoder, block, m_stop);
        if (!held)
            return tl::unexpected(held.error());
        const auto inputs = sharedInputsOf(m_decoder, block);
        InputGatherer gatherer(m_decoder, inputs, m_options, m_known);
        const LayerObserver before = [&](const LayerValues& values) { gatherer.observeInputs(values); };
        const LayerObserver after = [&](const LayerValues& values) { gatherer.observeOutputs(values); };
        const Replacers none;
        const InputReplacers noInputs;
        const CacheReplacer noCache;
        for (const auto& batch : m_batches) {
            auto states = statesOf(batch);
            gatherer.expect(states);
            const auto [forward, folding] = shareOf(batch, held->storedBytes()).split(forwardShare(inputs));
            const RotaryTables tables(m_decoder, states.sequences);
            const BlockRun run {m_decoder, tables, none, before, m_stop, noInputs, noCache, noNormDivisors, &after};
            if (auto done = runBlock(run, block, states, forward); !done)
                return done;
            if (auto done = append(states.values); !done)
                return done;
            if (auto done = gatherer.fold(m_stop, folding); !done)
                return done;
        }
        m_progress.doneItems += static_cast<std::uint32_t>(matricesOf(m_decoder.blocks[block]).size());
        return handOn(gatherer);
    }

    /// Of the multiplications in a block, those that are not for the moments.
    double forwardShare(const std::vector<SharedInput>& inputs) const
    {
        double forward = 0.0, moments = 0.0;
        for (const auto& input : inputs) {
            const auto columns = static_cast<double>(input.columns());
            for (const auto& layer : input.layers)
                forward += input.share * columns * static_cast<double>(layer.outputs);
            moments += input.share * columns * (columns + MomentLayout::side) / 2.0;
        }
        return m_options.moments ? forward / (forward + moments) : 0.95;
    }

    Result<void> handOn(InputGatherer& gatherer)
    {
        for (auto& gathered : gatherer.take()) {
            if (m_stop.stop_requested())
                return stopped("calibration");
            gathered.sample.settle();
            if (auto done = m_sink(std::move(gathered)); !done)
                return done;
        }
        return {};
    }

    /// What the output head reads; its outputs, as many as there are tokens in the vocabulary, are not computed.
    Result<void> runHead()
    {
        InputGatherer gatherer(m_decoder, headInput(m_decoder), m_options, m_known);
        for (const auto& batch : m_batches) {
            const auto states = statesOf(batch);
            std::vector<std::size_t> rows(states.rows());
            std::iota(rows.begin(), rows.end(), std::size_t {0});
            const auto normed = normOutputs(m_decoder, states, rows, m_stop);
            if (!normed)
                return tl::unexpected(normed.error());
            gatherer.expect(states);
            const auto hidden = m_decoder.hidden;
            const kernels::ConstMatrix all {normed->data(), rows.size(), hidden, hidden};
            const auto tiles = tilesOf(states);
            forEachPiece(tiles.size(), m_stop, [&](std::size_t i) {
                gatherer.observeInputs({.layer = m_decoder.head,
                    .firstToken = states.firstToken + tiles[i].firstRow,
                    .values = all.rowRange(tiles[i].firstRow, tiles[i].count)});
            });
            if (auto done = gatherer.fold(m_stop, shareOf(batch, headTensor().bytes())); !done)
                return done;
        }
        ++m_progress.doneItems;
        return handOn(gatherer);
    }

    const Decoder& m_decoder;
    const WindowedText& m_text;
    GatheringOptions m_options;
    std::vector<WindowBatch> m_batches;
    std::size_t m_tokens;
    const std::set<std::string>& m_known;
    ResidualStream& m_stream;
    const InputSink& m_sink;
    std::stop_token m_stop;
    Progress& m_progress;
};

}  // namespace

std::uint64_t tokensOf(const WindowedText& text)
{
    return std::accumulate(text.windows.begin(), text.windows.end(), std::uint64_t {0},
        [](std::uint64_t sum, const TokenWindow& window) { return sum + window.length; });
}

std::string identityOf(const WindowedText& text)
{
    FingerprintHasher hasher;
    for (const auto& window : text.windows) {
        hasher.add(std::uint64_t {window.length});
        for (std::size_t i = 0; i < window.length; ++i)
            hasher.add(std::uint64_t {text.token(window, i)});
    }
    return hasher.hex();
}

Result<void> calibrate(const Decoder& decoder, const WindowedText& text, const GatheringOptions& options,
    const CalibrationLimits& limits, const std::set<std::string>& known, ResidualStream& stream, const InputSink& sink,
    std::stop_token stop, Progress& progress)
{
    if (auto readable = requireReadable(decoder, text); !readable)
        return readable;
    if (text.windows.empty())
        return failure(ErrorCode::InvalidArgument, "text", "there is no window to read");
    std::uint64_t fixed = workingBytes(decoder) + largestFixedBytes(decoder, options);
    if (stream.isInMemory())
        fixed += 2 * tokensOf(text) * decoder.hidden * sizeof(float);
    auto batches = cutIntoBatches(decoder, text, fixed, limits.memory);
    if (!batches)
        return tl::unexpected(batches.error());
    Calibrator calibrator(decoder, text, options, std::move(*batches), known, stream, sink, stop, progress);
    ComputeArena arena(limits.threads);
    return arena.execute([&] { return calibrator.run(); });
}

}  // namespace quantloupe
