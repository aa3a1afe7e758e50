// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/block.h"

#include "core/inference/attention.h"
#include "core/inference/integer_layer.h"
#include "core/inference/loaded_block.h"
#include "core/inference/operations.h"
#include "core/inference/pieces.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kPieceProducts = std::size_t {1} << 28U;
constexpr std::size_t kLeastOutputs = 64;
/// Queries, keys and values of sequences that are worked on together, in floats: a quarter of a gigabyte.
constexpr std::size_t kBufferFloats = std::size_t {1} << 26U;

const InputReplacer* replacerOf(const BlockRun& run, const LinearLayer& layer)
{
    const auto found = run.inputs.find(layer.tensor);
    return found == run.inputs.end() ? nullptr : found->second.get();
}

/// What a replacer makes of some rows.
std::vector<float> replacedInputs(const InputReplacer& replacer, const TileInputs& inputs)
{
    const auto columns = inputs.values.columns;
    std::vector<float> replaced(inputs.values.rows * columns);
    for (std::size_t row = 0; row < inputs.values.rows; ++row)
        std::copy_n(inputs.values.row(row), columns, replaced.data() + row * columns);
    replaceTile(replacer, inputs.range, replaced);
    return replaced;
}

/// Outputs [first, first + result.columns) of the layers, whose weights are floats.
void projectFloats(kernels::ConstMatrix inputs, const LoadedLayers& layers, std::size_t first,
    kernels::MutableMatrix result, const std::stop_token& stop)
{
    const auto fitting = kPieceProducts / std::max<std::size_t>(1, inputs.rows * layers.inputs);
    const auto step = std::max(kLeastOutputs, fitting / kLeastOutputs * kLeastOutputs);
    forEachPiece((result.columns + step - 1) / step, stop, [&](std::size_t piece) {
        const auto begin = piece * step;
        const auto count = std::min(step, result.columns - begin);
        kernels::multiplyByTransposed(
            inputs, layers.matrix().rowRange(first + begin, count), result.columnRange(begin, count));
    });
}

void observeOutputs(
    const BlockRun& run, std::span<const LinearLayer> layers, std::size_t firstToken, kernels::ConstMatrix outputs)
{
    if (!run.outputObserver || run.stop.stop_requested())  // what a stopped product leaves is no output
        return;
    std::size_t column = 0;
    for (const auto& layer : layers) {
        (*run.outputObserver)(
            {.layer = layer, .firstToken = firstToken, .values = outputs.columnRange(column, layer.outputs)});
        column += layer.outputs;
    }
}

/// Some sequences on their way through the attention of a block.
class AttentionPass
{
public:
    AttentionPass(const BlockRun& run, const AttentionPart& part, const LoadedAttention& weights, HiddenStates& states,
        std::size_t firstSequence, std::size_t lastSequence)
        : m_run(run)
        , m_part(part)
        , m_weights(weights)
        , m_states(states)
        , m_first(firstSequence)
        , m_last(lastSequence)
        , m_tiles(tilesOf(states, firstSequence, lastSequence))
        , m_firstRow(m_tiles.front().firstRow)
    {
        const auto rows = m_tiles.back().firstRow + m_tiles.back().count - m_firstRow;
        m_joined = ZeroedArray<float>(rows * weights.queryKeyValue.outputs);
        m_attended = ZeroedArray<float>(rows * run.decoder.queryColumns());
    }

    std::size_t tiles() const { return m_tiles.size(); }

    /// What the layers' replacers must know of whole calls, before the tiles of queries and those of outputs.
    void measureNormed()
    {
        if (needsRange(m_run.inputs, m_part.queryKeyValue))
            m_normedRanges = measureRanges(m_tiles, m_run.stop,
                [&](const TokenTile& tile, std::vector<float>& buffer) { return normed(tile, buffer); });
    }
    void measureAttended()
    {
        if (needsRange(m_run.inputs, std::span(&m_part.output, 1)))
            m_attendedRanges = measureRanges(
                m_tiles, m_run.stop, [&](const TokenTile& tile, std::vector<float>&) { return attendedOf(tile); });
    }

    void prepareQueries(const TokenTile& tile)
    {
        const auto& decoder = m_run.decoder;
        std::vector<float> buffer;
        const auto rows = joined().rowRange(tile.firstRow - m_firstRow, tile.count);
        multiplyInputs(m_run, m_part.queryKeyValue, m_weights.queryKeyValue,
            {.firstToken = m_states.firstToken + tile.firstRow,
                .values = normed(tile, buffer),
                .range = rangeIn(m_normedRanges, tile.call)},
            rows);

        const auto queries = rows.columnRange(0, decoder.queryColumns());
        const auto keys = rows.columnRange(decoder.queryColumns(), decoder.keyColumns());
        const auto normIfThere = [&](kernels::MutableMatrix heads, const LoadedNorm& norm) {
            if (!norm.weight.empty())
                normHeads(heads, decoder.headDimension, norm, decoder.architecture.norm, decoder.normEpsilon);
        };
        normIfThere(queries, m_weights.queryNorm);
        normIfThere(keys, m_weights.keyNorm);
        if (m_part.rotates) {
            const auto& table = m_run.tables.of(m_part.local, m_states.sequences[tile.sequence].length);
            for (const auto& heads : {queries, keys})
                rotateHeads(heads, decoder.headDimension, table, tile.firstPosition, decoder.architecture.positions);
        }
        if (m_run.cache)
            replaceHeads(m_run.cache, rows.columnRange(decoder.queryColumns(), 2 * decoder.keyColumns()));
    }

    /// Every head of every tile of queries.
    void attendAll()
    {
        struct Piece {
            std::size_t sequence, head, firstQuery;
        };
        std::vector<Piece> pieces;
        for (auto sequence = m_first; sequence < m_last; ++sequence)
            for (std::size_t head = 0; head < m_run.decoder.heads; ++head)
                for (std::size_t query = 0; query < m_states.sequences[sequence].length; query += queriesPerTile)
                    pieces.push_back({sequence, head, query});
        forEachPiece(pieces.size(), m_run.stop, [&](std::size_t i) {
            const auto& [sequence, head, query] = pieces[i];
            const auto length = m_states.sequences[sequence].length;
            attend(headOf(sequence, head), query, std::min(queriesPerTile, length - query));
        });
    }

    void addOutputs(const TokenTile& tile)
    {
        const auto& decoder = m_run.decoder;
        std::vector<float> out(tile.count * decoder.hidden);
        const kernels::MutableMatrix outputs {out.data(), tile.count, decoder.hidden, decoder.hidden};
        multiplyInputs(m_run, std::span(&m_part.output, 1), m_weights.output,
            {.firstToken = m_states.firstToken + tile.firstRow,
                .values = attendedOf(tile),
                .range = rangeIn(m_attendedRanges, tile.call)},
            outputs);
        if (m_part.outputNorm)
            normRows(outputs, m_weights.outputNorm, decoder.architecture.norm, decoder.normEpsilon, outputs);
        addRows(outputs, m_states.matrix().rowRange(tile.firstRow, tile.count));
    }

    const std::vector<TokenTile>& tokenTiles() const { return m_tiles; }

private:
    kernels::MutableMatrix joined()
    {
        const auto columns = m_weights.queryKeyValue.outputs;
        return {m_joined.data(), m_joined.size() / columns, columns, columns};
    }
    kernels::MutableMatrix attended()
    {
        const auto columns = m_run.decoder.queryColumns();
        return {m_attended.data(), m_attended.size() / columns, columns, columns};
    }

    kernels::ConstMatrix attendedOf(const TokenTile& tile)
    {
        return attended().rowRange(tile.firstRow - m_firstRow, tile.count);
    }
    kernels::ConstMatrix normed(const TokenTile& tile, std::vector<float>& buffer)
    {
        const auto& decoder = m_run.decoder;
        buffer.resize(tile.count * decoder.hidden);
        const kernels::MutableMatrix rows {buffer.data(), tile.count, decoder.hidden, decoder.hidden};
        normRows(m_states.matrix().rowRange(tile.firstRow, tile.count), m_weights.norm, decoder.architecture.norm,
            decoder.normEpsilon, rows);
        return rows;
    }

    AttentionHead headOf(std::size_t sequence, std::size_t head)
    {
        const auto& decoder = m_run.decoder;
        const auto& tokens = m_states.sequences[sequence];
        const auto size = decoder.headDimension;
        const auto shared = head / (decoder.heads / decoder.keyValueHeads);
        const auto rows = joined().rowRange(tokens.firstRow - m_firstRow, tokens.length);
        const auto keys = decoder.queryColumns();
        return {.queries = rows.columnRange(head * size, size),
            .keys = rows.columnRange(keys + shared * size, size),
            .values = rows.columnRange(keys + decoder.keyColumns() + shared * size, size),
            .result = attended().rowRange(tokens.firstRow - m_firstRow, tokens.length).columnRange(head * size, size),
            .scale = decoder.attentionScale,
            .cap = decoder.attentionCap,
            .window = m_part.window,
            .softmaxInIntegers = decoder.integerFunctions};
    }

    const BlockRun& m_run;
    const AttentionPart& m_part;
    const LoadedAttention& m_weights;
    HiddenStates& m_states;
    std::size_t m_first, m_last;
    std::vector<TokenTile> m_tiles;
    std::size_t m_firstRow;
    ZeroedArray<float> m_joined {}, m_attended {};
    CallRanges m_normedRanges {}, m_attendedRanges {};
};

/// End of the sequences from `first` on that are worked on together: whole calls, at least one, of about so many rows.
std::size_t lastTogether(std::span<const Sequence> sequences, std::size_t first, std::size_t mostRows)
{
    std::size_t rows = 0, last = first;
    for (auto i = first; i < sequences.size(); ++i) {
        rows += sequences[i].length;
        if (last > first && rows > mostRows)
            break;
        if (i + 1 == sequences.size() || sequences[i + 1].call != sequences[i].call)
            last = i + 1;
    }
    return last;
}

bool dependsOnLength(const Rotary& rotary)
{
    return rotary.dynamic || !rotary.longFrequencies.empty();
}

}  // namespace

RotaryTables::RotaryTables(const Decoder& decoder, const std::vector<Sequence>& sequences)
{
    if (decoder.architecture.positions == PositionKind::Learned)
        return;
    std::size_t longest = 0;
    for (const auto& sequence : sequences)
        longest = std::max(longest, sequence.length);
    for (const bool local : {false, true}) {
        const auto& rotary = local ? decoder.localRotary : decoder.rotary;
        auto& tables = m_tables[local ? 1 : 0];
        tables.emplace(longest, rotaryTable(rotary, longest));
        if (dependsOnLength(rotary))
            for (const auto& sequence : sequences)
                if (!tables.contains(sequence.length))
                    tables.emplace(sequence.length, rotaryTable(rotary, sequence.length));
    }
}

const RotaryTable& RotaryTables::of(bool local, std::size_t length) const
{
    return m_tables[local ? 1 : 0].lower_bound(length)->second;
}

std::vector<TokenTile> tilesOf(const HiddenStates& states, std::size_t first, std::size_t last)
{
    std::vector<TokenTile> tiles;
    for (auto i = first; i < last; ++i)
        for (std::size_t position = 0; position < states.sequences[i].length; position += tokensPerTile)
            tiles.push_back({.sequence = i,
                .firstPosition = position,
                .count = std::min(tokensPerTile, states.sequences[i].length - position),
                .firstRow = states.sequences[i].firstRow + position,
                .call = states.sequences[i].call});
    return tiles;
}

void projectOutputs(kernels::ConstMatrix inputs, const LoadedLayers& layers, std::size_t first,
    kernels::MutableMatrix result, const std::stop_token& stop)
{
    auto output = first;
    const auto floatsUpTo = [&](std::size_t end) {
        projectFloats(inputs, layers, output, result.columnRange(output - first, end - output), stop);
    };
    for (const auto& part : layers.integers) {
        if (part.firstOutput < first || part.firstOutput >= first + result.columns)
            continue;
        floatsUpTo(part.firstOutput);
        part.layer->run(inputs, part.firstRow, result.columnRange(part.firstOutput - first, part.outputs), stop);
        output = part.firstOutput + part.outputs;
    }
    floatsUpTo(first + result.columns);
    addBias(
        layers.bias.empty() ? std::span<const float>() : std::span(layers.bias).subspan(first, result.columns), result);
}

void project(
    kernels::ConstMatrix inputs, const LoadedLayers& layers, kernels::MutableMatrix result, const std::stop_token& stop)
{
    projectOutputs(inputs, layers, 0, result, stop);
}

std::vector<LayersAlike> layersAlike(const BlockRun& run, std::span<const LinearLayer> layers)
{
    std::vector<LayersAlike> all;
    std::size_t output = 0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const auto* replacer = replacerOf(run, layers[i]);
        if (all.empty() || all.back().replacer != replacer)
            all.push_back({.first = i, .firstOutput = output, .replacer = replacer});
        all.back().last = i + 1;
        all.back().outputs += layers[i].outputs;
        output += layers[i].outputs;
    }
    return all;
}

void replaceTile(const InputReplacer& replacer, const kernels::FiniteRange& range, std::span<float> rows)
{
    if (allFinite(rows))
        replacer.replace(rows, range);
}

void multiplyInputs(const BlockRun& run, std::span<const LinearLayer> layers, const LoadedLayers& loaded,
    const TileInputs& inputs, kernels::MutableMatrix result)
{
    for (const auto& alike : layersAlike(run, layers)) {
        std::vector<float> replaced;
        auto values = inputs.values;
        if (alike.replacer) {
            replaced = replacedInputs(*alike.replacer, inputs);
            values = {replaced.data(), values.rows, values.columns, values.columns};
        }
        if (run.observer)
            for (const auto& layer : layers.subspan(alike.first, alike.last - alike.first))
                run.observer({.layer = layer, .firstToken = inputs.firstToken, .values = values});
        projectOutputs(
            values, loaded, alike.firstOutput, result.columnRange(alike.firstOutput, alike.outputs), run.stop);
    }
    observeOutputs(run, layers, inputs.firstToken, result);
}

Result<void> runAttention(
    const BlockRun& run, const AttentionPart& part, HiddenStates& states, const ProgressShare& progress)
{
    const auto weights = loadAttention(run, part);
    if (!weights)
        return tl::unexpected(weights.error());
    const auto rowFloats = weights->queryKeyValue.outputs + run.decoder.queryColumns();
    const auto total = 2 * tilesOf(states).size();
    std::size_t done = 0;
    for (std::size_t first = 0; first < states.sequences.size();) {
        const auto last = lastTogether(states.sequences, first, kBufferFloats / rowFloats);
        AttentionPass pass(run, part, *weights, states, first, last);
        const auto& tiles = pass.tokenTiles();
        pass.measureNormed();
        forEachPiece(tiles.size(), run.stop, [&](std::size_t i) {
            pass.prepareQueries(tiles[i]);
            progress.advance(done + i, done + i + 1, total);
        });
        done += tiles.size();
        if (!run.stop.stop_requested())
            pass.attendAll();
        pass.measureAttended();
        forEachPiece(tiles.size(), run.stop, [&](std::size_t i) {
            pass.addOutputs(tiles[i]);
            progress.advance(done + i, done + i + 1, total);
        });
        done += tiles.size();
        if (run.stop.stop_requested())
            return stopped("attention");
        first = last;
    }
    return {};
}

Result<void> runBlock(const BlockRun& run, std::size_t block, HiddenStates& states, const ProgressShare& progress)
{
    const auto& parts = run.decoder.blocks[block];
    const auto [first, second] = progress.split(1.0 / 3.0);
    if (auto done = runAttention(run, parts.attention, states, first); !done)
        return done;
    if (auto done = runFeedForward(run, parts.feedForward, states, second); !done)
        return done;
    return requireFinite(run, block, states);
}

Result<void> requireFinite(const BlockRun& run, std::size_t block, const HiddenStates& states)
{
    std::atomic<bool> finite = true;
    const auto tiles = tilesOf(states);
    forEachPiece(tiles.size(), run.stop, [&](std::size_t i) {
        const auto rows =
            std::span(states.values).subspan(tiles[i].firstRow * states.hidden, tiles[i].count * states.hidden);
        if (!allFinite(rows))
            finite = false;
    });
    if (!finite)
        return failure(ErrorCode::Malformed, run.decoder.model->path.string(),
            "activations overflow in block " + std::to_string(block) + ": the model cannot be run in float32");
    return {};
}

}  // namespace quantloupe
