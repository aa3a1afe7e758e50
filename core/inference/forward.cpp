// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/forward.h"

#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>

namespace quantloupe {
namespace {

/// A token where it stands among the rows.
struct Occurrence {
    std::uint32_t token = 0;
    std::size_t row = 0;
};

/// Occurrences of one token side by side: each row of the table is decoded once, however often it is used.
std::vector<std::span<const Occurrence>> runsOf(std::vector<Occurrence>& occurrences)
{
    std::sort(occurrences.begin(), occurrences.end(), [](const Occurrence& a, const Occurrence& b) {
        return a.token != b.token ? a.token < b.token : a.row < b.row;
    });
    std::vector<std::span<const Occurrence>> runs;
    for (std::size_t first = 0; first < occurrences.size();) {
        auto last = first;
        while (last < occurrences.size() && occurrences[last].token == occurrences[first].token)
            ++last;
        runs.push_back(std::span<const Occurrence>(occurrences).subspan(first, last - first));
        first = last;
    }
    return runs;
}

Result<void> addPositions(const Decoder& decoder, HiddenStates& states, const std::stop_token& stop)
{
    const auto& tensor = decoder.model->tensors[*decoder.positions];
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    std::size_t longest = 0;
    for (const auto& sequence : states.sequences)
        longest = std::max(longest, sequence.length);
    std::vector<float> table(longest * states.hidden);
    decodeRows(tensor.view, 0, longest, table);
    if (!allFinite(table))
        return failure(ErrorCode::Malformed, tensor.name, "holds NaN or an infinity: the model cannot be run");
    for (const auto& sequence : states.sequences)
        addRows({table.data(), sequence.length, states.hidden, states.hidden},
            states.matrix().rowRange(sequence.firstRow, sequence.length));
    return {};
}

std::size_t callOf(const HiddenStates& states, std::size_t row)
{
    const auto behind = std::upper_bound(states.sequences.begin(), states.sequences.end(), row,
        [](std::size_t at, const Sequence& sequence) { return at < sequence.firstRow; });
    return std::prev(behind)->call;
}

}  // namespace

void fillRows(HiddenStates& states, std::span<const float> rows, const std::stop_token& stop)
{
    states.values = ZeroedArray<float>(rows.size());
    forEachPiece(states.sequences.size(), stop, [&](std::size_t i) {
        const auto first = states.sequences[i].firstRow * states.hidden;
        const auto some = rows.subspan(first, states.sequences[i].length * states.hidden);
        std::copy(some.begin(), some.end(), states.values.part(first, some.size()).begin());
    });
}

HiddenStates copyOf(const HiddenStates& states, const std::stop_token& stop)
{
    HiddenStates copy {.hidden = states.hidden, .sequences = states.sequences, .firstToken = states.firstToken};
    fillRows(copy, states.values, stop);
    return copy;
}

Result<void> requireReadable(const Decoder& decoder, const WindowedText& text)
{
    const auto refuse = [&](std::uint32_t token, const std::string& place) {
        return failure(ErrorCode::InvalidArgument, "text",
            "token " + std::to_string(token) + place + " is beyond the vocabulary of "
                + std::to_string(decoder.vocabulary) + " tokens");
    };
    for (std::size_t i = 0; i < text.tokens.size(); ++i)
        if (text.tokens[i] >= decoder.vocabulary)
            return refuse(text.tokens[i], " at position " + std::to_string(i));
    if (text.firstToken && *text.firstToken >= decoder.vocabulary)
        return refuse(*text.firstToken, ", which begins each window,");
    for (const auto& window : text.windows)
        if (decoder.maxContext != 0 && window.length > decoder.maxContext)
            return failure(ErrorCode::InvalidArgument, "context",
                "the model has positions for " + std::to_string(decoder.maxContext) + " tokens, a window has "
                    + std::to_string(window.length));
    return {};
}

Result<HiddenStates> embed(const Decoder& decoder, const WindowedText& text, std::size_t first, std::size_t last,
    const RowReplacer& replacer, std::stop_token stop)
{
    const auto& tensor = decoder.model->tensors[decoder.embedding];
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    HiddenStates states {.hidden = decoder.hidden};
    std::vector<Occurrence> occurrences;
    for (auto i = first; i < last; ++i) {
        const auto& window = text.windows[i];
        states.sequences.push_back({.firstRow = occurrences.size(),
            .length = window.length,
            .call = i / text.windowsPerCall - first / text.windowsPerCall});
        for (std::size_t position = 0; position < window.length; ++position)
            occurrences.push_back({text.token(window, position), occurrences.size()});
    }
    states.values = ZeroedArray<float>(occurrences.size() * decoder.hidden);
    const auto runs = runsOf(occurrences);
    std::atomic<bool> finite = true;
    forEachPiece(runs.size(), stop, [&](std::size_t i) {
        std::vector<float> row(decoder.hidden);
        decodeRows(tensor.view, runs[i].front().token, 1, row);
        if (allFinite(row) && replacer)
            replacer(runs[i].front().token, row);
        if (!allFinite(row))
            finite = false;
        for (auto& value : row)
            value *= decoder.embeddingScale;
        for (const auto& occurrence : runs[i])
            std::copy(row.begin(), row.end(), states.matrix().row(occurrence.row));
    });
    if (stop.stop_requested())
        return stopped(tensor.name);
    if (!finite)
        return failure(ErrorCode::Malformed, tensor.name, "holds NaN or an infinity: the model cannot be run");
    if (decoder.positions)
        if (auto done = addPositions(decoder, states, stop); !done)
            return tl::unexpected(done.error());
    return states;
}

Result<ZeroedArray<float>> normOutputs(const Decoder& decoder, const HiddenStates& states,
    std::span<const std::size_t> rows, std::stop_token stop, const InputReplacer* replacer)
{
    const auto norm = loadNorm(*decoder.model, decoder.outputNorm, stop);
    if (!norm)
        return tl::unexpected(norm.error());
    const auto normInto = [&](std::size_t row, std::size_t count, kernels::MutableMatrix out) {
        normRows(states.matrix().rowRange(row, count), *norm, decoder.architecture.norm, decoder.normEpsilon, out);
    };
    CallRanges ranges;
    if (replacer && replacer->needsRange)
        ranges = measureRanges(
            tilesOf(states), stop, [&](const TokenTile& tile, std::vector<float>& buffer) -> kernels::ConstMatrix {
                buffer.resize(tile.count * states.hidden);
                const kernels::MutableMatrix out {buffer.data(), tile.count, states.hidden, states.hidden};
                normInto(tile.firstRow, tile.count, out);
                return out;
            });
    ZeroedArray<float> normed(rows.size() * states.hidden);
    const kernels::MutableMatrix out {normed.data(), rows.size(), states.hidden, states.hidden};
    forEachPiece((rows.size() + tokensPerTile - 1) / tokensPerTile, stop, [&](std::size_t piece) {
        const auto last = std::min(rows.size(), (piece + 1) * tokensPerTile);
        for (auto i = piece * tokensPerTile; i < last; ++i) {
            normInto(rows[i], 1, out.rowRange(i, 1));
            const std::span row(out.row(i), states.hidden);
            if (replacer && allFinite(row))
                replacer->replace(row, rangeIn(ranges, callOf(states, rows[i])));
        }
    });
    if (stop.stop_requested())
        return stopped("output norm");
    return normed;
}

const RowReplacer& Replaced::weightsOf(std::size_t tensor) const
{
    static const RowReplacer none;
    const auto found = weights.find(tensor);
    return found == weights.end() ? none : found->second;
}

const InputReplacer* Replaced::inputsOf(std::size_t tensor) const
{
    const auto found = inputs.find(tensor);
    return found == inputs.end() ? nullptr : found->second.get();
}

Result<Replaced> askFor(const ForwardHooks& hooks, std::span<const std::size_t> tensors)
{
    auto weights = askFor(hooks.weights, tensors);
    if (!weights)
        return tl::unexpected(weights.error());
    auto inputs = askFor(hooks.inputs, tensors);
    if (!inputs)
        return tl::unexpected(inputs.error());
    return Replaced {std::move(*weights), std::move(*inputs)};
}

Result<CacheReplacer> askFor(const CacheHook& hook, const Decoder& decoder)
{
    return hook ? hook(decoder.headDimension) : CacheReplacer();
}

Result<HeldBlock> HeldBlock::hold(const Decoder& decoder, std::size_t block, std::stop_token stop)
{
    HeldBlock made;
    made.m_model = decoder.model;
    made.m_tensors = matricesOf(decoder.blocks[block]);
    std::sort(made.m_tensors.begin(), made.m_tensors.end());
    made.m_tensors.erase(std::unique(made.m_tensors.begin(), made.m_tensors.end()), made.m_tensors.end());
    for (const auto tensor : made.m_tensors) {
        auto held = holdReadable(decoder.model->tensors[tensor], stop);
        if (!held)
            return tl::unexpected(held.error());
        made.m_held.push_back(std::move(*held));
    }
    return made;
}

HeldBlock::~HeldBlock()
{
    for (const auto tensor : m_tensors)
        releaseBytes(m_model->tensors[tensor].view);
}

std::uint64_t HeldBlock::storedBytes() const
{
    return std::accumulate(m_tensors.begin(), m_tensors.end(), std::uint64_t {0},
        [&](std::uint64_t sum, std::size_t tensor) { return sum + m_model->tensors[tensor].bytes(); });
}

Result<std::vector<float>> computeLogits(
    const Decoder& decoder, std::vector<std::uint32_t> tokens, const ForwardHooks& hooks, std::stop_token stop)
{
    const auto length = tokens.size();
    const WindowedText text {.tokens = std::move(tokens), .windows = {{.begin = 0, .length = length}}};
    if (auto readable = requireReadable(decoder, text); !readable)
        return tl::unexpected(readable.error());
    const auto tables = askFor(hooks, std::vector {decoder.embedding, decoder.head.tensor});
    if (!tables)
        return tl::unexpected(tables.error());
    const auto cache = askFor(hooks.cache, decoder);
    if (!cache)
        return tl::unexpected(cache.error());
    auto states = embed(decoder, text, 0, 1, tables->weightsOf(decoder.embedding), stop);
    if (!states)
        return tl::unexpected(states.error());
    const RotaryTables rotaryTables(decoder, states->sequences);
    Progress ignored;
    for (std::size_t block = 0; block < decoder.blocks.size(); ++block) {
        const auto held = HeldBlock::hold(decoder, block, stop);
        if (!held)
            return tl::unexpected(held.error());
        const auto replaced = askFor(hooks, held->tensors());
        if (!replaced)
            return tl::unexpected(replaced.error());
        const BlockRun run {decoder, rotaryTables, replaced->weights, hooks.beforeLayer, stop, replaced->inputs, *cache,
            hooks.divisors, hooks.afterLayer ? &hooks.afterLayer : nullptr};
        if (auto done = runBlock(run, block, *states, ProgressShare(ignored, 0)); !done)
            return tl::unexpected(done.error());
    }
    std::vector<std::size_t> rows(length);
    std::iota(rows.begin(), rows.end(), std::size_t {0});
    auto normed = normOutputs(decoder, *states, rows, stop, tables->inputsOf(decoder.head.tensor));
    if (!normed)
        return tl::unexpected(normed.error());
    const auto head = loadLayers(*decoder.model, std::span(&decoder.head, 1), tables->weights, stop);
    if (!head)
        return tl::unexpected(head.error());
    const kernels::ConstMatrix inputs {normed->data(), length, decoder.hidden, decoder.hidden};
    if (hooks.beforeLayer)
        hooks.beforeLayer({.layer = decoder.head, .firstToken = 0, .values = inputs});
    std::vector<float> logits(length * decoder.vocabulary);
    const kernels::MutableMatrix outputs {logits.data(), length, decoder.vocabulary, decoder.vocabulary};
    project(inputs, *head, outputs, stop);
    if (hooks.afterLayer && !stop.stop_requested())
        hooks.afterLayer({.layer = decoder.head, .firstToken = 0, .values = outputs});
    if (decoder.outputCap > 0.0F)
        softCap(logits, decoder.outputCap);
    if (stop.stop_requested())
        return stopped("output head");
    return logits;
}

}  // namespace quantloupe
