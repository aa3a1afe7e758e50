// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/kept_block.h"

#include "core/inference/attention.h"
#include "core/inference/pieces.h"

#include <utility>

namespace quantloupe {

BlockFloats blockFloats(const Decoder& decoder, const DecoderBlock& block, bool replacesInputs)
{
    const auto hidden = std::uint64_t {decoder.hidden};
    BlockFloats floats {.perToken = 8 * hidden + 4 * decoder.queryColumns() + 4 * decoder.keyColumns(),
        .weights = 2 * hidden * (decoder.queryColumns() + decoder.keyColumns())};
    if (replacesInputs)
        floats.perToken += block.attention.queryKeyValue.size() * hidden + decoder.queryColumns();
    const auto addGated = [&](const GatedLayers& layers, std::uint64_t times) {
        floats.perToken += times * (6 * layers.down.inputs + 4 * layers.down.outputs);
        if (replacesInputs)  // at worst of each layer by itself
            floats.perToken += times * (layers.down.inputs + layers.gateUp.size() * hidden);
        floats.weights += std::uint64_t {3} * layers.down.inputs * layers.down.outputs;
    };
    if (block.feedForward.dense)
        addGated(*block.feedForward.dense, 1);
    for (std::size_t i = 0; i < block.feedForward.experts.size(); ++i)
        addGated(block.feedForward.experts[i], i == 0 ? decoder.expertsPerToken : 0);
    return floats;
}

KeptBlock::KeptBlock(const BlockRun& run)
    : m_replacers(run.replacers)
    , m_inputReplacers(run.inputs)
    , m_run {run.decoder, run.tables, m_replacers, m_nobody, run.stop, m_inputReplacers}
{
}

Result<std::unique_ptr<KeptBlock>> KeptBlock::run(const BlockRun& run, std::size_t block, const HiddenStates& inputs,
    HiddenStates& states, const ProgressShare& progress)
{
    std::unique_ptr<KeptBlock> kept(new KeptBlock(run));
    const auto& parts = run.decoder.blocks[block];
    auto loaded = loadBlock(kept->m_run, parts);
    if (!loaded)
        return tl::unexpected(loaded.error());
    kept->m_loaded = std::move(*loaded);
    const auto& sequences = inputs.sequences;
    kept->m_sequences.resize(sequences.size());
    forEachPiece(sequences.size(), run.stop, [&](std::size_t i) {
        const auto& [firstRow, length, call] = sequences[i];
        kept->m_sequences[i] = std::make_unique<BlockPass>(kept->m_run, parts, kept->m_loaded,
            inputs.matrix().rowRange(firstRow, length), states.matrix().rowRange(firstRow, length), true);
        progress.advance(i, i + 1, sequences.size());
    });
    if (run.stop.stop_requested())
        return stopped("forward pass");
    if (auto finite = requireFinite(run, block, states); !finite)
        return tl::unexpected(finite.error());
    return kept;
}

std::uint64_t KeptBlock::bytes(
    const Decoder& decoder, std::size_t block, std::span<const Sequence> sequences, bool replacesInputs)
{
    const auto floats = blockFloats(decoder, decoder.blocks[block], replacesInputs);
    const std::uint64_t scores = decoder.heads * std::uint64_t {decoder.attentionCap > 0.0F ? 2U : 1U};
    std::uint64_t sum = floats.weights;
    for (const auto& [firstRow, length, call] : sequences)
        sum += length * (floats.perToken + scores * (length + queriesPerTile) / 2);
    return sum * sizeof(float);
}

SequenceGradients KeptBlock::runBackward(std::size_t sequence, kernels::MutableMatrix gradient)
{
    auto gradients = m_sequences[sequence]->runBackward(gradient);
    m_sequences[sequence].reset();
    return gradients;
}

}  // namespace quantloupe
