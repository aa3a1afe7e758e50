// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/block_backward.h"

#include "core/inference/attention.h"
#include "core/inference/gated_backward.h"
#include "core/inference/mixture_backward.h"
#include "core/inference/operations_backward.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace quantloupe {
namespace {

void copyRows(kernels::ConstMatrix from, kernels::MutableMatrix to)
{
    for (std::size_t row = 0; row < from.rows; ++row)
        std::copy_n(from.row(row), from.columns, to.row(row));
}

/// Of the norm of a part's outputs: `gradient` by what the norm gave becomes that by what it was given, in rows that
/// live as long as the gradients.
kernels::MutableMatrix outputNormBackward(const Decoder& decoder, const std::optional<NormLayer>& layer,
    const LoadedNorm& norm, kernels::ConstMatrix outputs, kernels::ConstMatrix gradient, SequenceGradients& gradients)
{
    if (!layer) {
        const auto back = gradients.keepUnset(gradient.rows, gradient.columns);
        copyRows(gradient, back);
        return back;
    }
    const auto back = gradients.keep(gradient.rows, gradient.columns);
    NormGradient weights {.norm = *layer};
    normRowsBackward(outputs, norm, decoder.architecture.norm.kind, decoder.normEpsilon, gradient, back, weights);
    gradients.norms.push_back(std::move(weights));
    return back;
}

}  // namespace

/// What both parts of a block have in common: x += outputNorm(operation(norm(x))).
class ResidualStep
{
public:
    ResidualStep(const BlockRun& run, const NormLayer& norm, const LoadedNorm& loaded, kernels::ConstMatrix x,
        SequenceGradients& gradients)
        : m_run(run)
        , m_decoder(run.decoder)
        , m_gradients(gradients)
        , m_normLayer(norm)
        , m_norm(loaded)
        , m_x(x)
        , m_normed(gradients.keepUnset(x.rows, x.columns))
    {
        normRows(x, loaded, m_decoder.architecture.norm, m_decoder.normEpsilon, m_normed);
    }

protected:
    /// x += norm(outputs); `outputs` stay.
    void addNormed(const std::optional<NormLayer>& layer, const LoadedNorm& norm, kernels::ConstMatrix outputs,
        kernels::MutableMatrix x) const
    {
        if (!layer)
            return addRows(outputs, x);
        std::vector<float> values(outputs.rows * outputs.columns);
        const kernels::MutableMatrix normed {values.data(), outputs.rows, outputs.columns, outputs.columns};
        normRows(outputs, norm, m_decoder.architecture.norm, m_decoder.normEpsilon, normed);
        addRows(normed, x);
    }
    /// Adds to the residual stream's gradient what comes through the norm.
    void addInputGradient(kernels::ConstMatrix normedGradient, kernels::MutableMatrix gradient)
    {
        NormGradient weights {.norm = m_normLayer};
        normRowsBackward(
            m_x, m_norm, m_decoder.architecture.norm.kind, m_decoder.normEpsilon, normedGradient, gradient, weights);
        m_gradients.norms.push_back(std::move(weights));
    }

    const BlockRun& m_run;
    const Decoder& m_decoder;
    SequenceGradients& m_gradients;
    const NormLayer& m_normLayer;
    const LoadedNorm& m_norm;
    kernels::ConstMatrix m_x;
    kernels::MutableMatrix m_normed;
};

class AttentionStep : public ResidualStep
{
public:
    AttentionStep(const BlockRun& run, const AttentionPart& part, const LoadedAttention& loaded, kernels::ConstMatrix x,
        SequenceGradients& gradients, bool keepsWeights)
        : ResidualStep(run, part.norm, loaded.norm, x, gradients)
        , m_part(part)
        , m_loaded(loaded)
        , m_projections(run, part.queryKeyValue, loaded.queryKeyValue, gradients)
        , m_outputLayer(run, std::span(&part.output, 1), loaded.output, gradients)
        , m_joined(gradients.keepUnset(x.rows, loaded.queryKeyValue.outputs))
        , m_attended(gradients.keepUnset(x.rows, m_decoder.queryColumns()))
        , m_outputs(gradients.keepUnset(x.rows, x.columns))
        , m_keepsWeights(keepsWeights)
    {
    }

    void run(kernels::MutableMatrix x)
    {
        const auto tiles = tileRowsOf(m_x.rows);
        m_projections.run(m_normed, tiles, m_joined);
        if (m_part.queryNorm || m_part.keyNorm)
            copyRows(m_joined, m_projected = m_gradients.keepUnset(m_joined.rows, m_joined.columns));
        const auto normIfThere = [&](kernels::MutableMatrix heads, const LoadedNorm& norm) {
            if (!norm.weight.empty())
                normHeads(heads, m_decoder.headDimension, norm, m_decoder.architecture.norm, m_decoder.normEpsilon);
        };
        normIfThere(queriesOf(m_joined), m_loaded.queryNorm);
        normIfThere(keysOf(m_joined), m_loaded.keyNorm);
        if (m_part.rotates)
            for (const auto& heads : {queriesOf(m_joined), keysOf(m_joined)})
                rotateHeads(heads, m_decoder.headDimension, table(), 0, m_decoder.architecture.positions);
        forEachQueryTile([&](std::size_t head, std::size_t first, std::size_t count) {
            auto weights = weighKeys(headOf(head), first, count, m_keepsWeights);
            attend(headOf(head), weights);
            if (m_keepsWeights)
                m_weights.push_back(std::move(weights));
        });
        m_outputLayer.run(m_attended, tiles, m_outputs);
        addNormed(m_part.outputNorm, m_loaded.outputNorm, m_outputs, x);
    }

    void runBackward(kernels::MutableMatrix gradient)
    {
        const auto outputGradient =
            outputNormBackward(m_decoder, m_part.outputNorm, m_loaded.outputNorm, m_outputs, gradient, m_gradients);
        std::vector<float> between(m_x.rows * m_decoder.queryColumns());
        const kernels::MutableMatrix attendedGradient {
            between.data(), m_x.rows, m_decoder.queryColumns(), m_decoder.queryColumns()};
        m_outputLayer.runBackward(outputGradient, attendedGradient);
        const auto joinedGradient = m_gradients.keep(m_x.rows, m_loaded.queryKeyValue.outputs);
        std::size_t tile = 0;
        forEachQueryTile([&](std::size_t head, std::size_t first, std::size_t count) {
            const auto weights =
                m_keepsWeights ? std::move(m_weights[tile++]) : weighKeys(headOf(head), first, count, true);
            attendBackward(headOf(head), weights, headColumns(attendedGradient, head),
                {.queries = headColumns(queriesOf(joinedGradient), head),
                    .keys = headColumns(keysOf(joinedGradient), sharedBy(head)),
                    .values = headColumns(valuesOf(joinedGradient), sharedBy(head))});
        });
        if (m_part.rotates)
            for (const auto& heads : {queriesOf(joinedGradient), keysOf(joinedGradient)})
                rotateHeadsBackward(heads, m_decoder.headDimension, table(), 0, m_decoder.architecture.positions);
        if (m_projected.data) {
            headNormBackward(m_part.keyNorm, m_loaded.keyNorm, keysOf(m_projected), keysOf(joinedGradient));
            headNormBackward(m_part.queryNorm, m_loaded.queryNorm, queriesOf(m_projected), queriesOf(joinedGradient));
        }
        std::vector<float> normedGradient(m_x.rows * m_x.columns);
        const kernels::MutableMatrix back {normedGradient.data(), m_x.rows, m_x.columns, m_x.columns};
        m_projections.runBackward(joinedGradient, back);
        addInputGradient(back, gradient);
    }

private:
    kernels::MutableMatrix queriesOf(kernels::MutableMatrix rows) const
    {
        return rows.columnRange(0, m_decoder.queryColumns());
    }
    kernels::MutableMatrix keysOf(kernels::MutableMatrix rows) const
    {
        return rows.columnRange(m_decoder.queryColumns(), m_decoder.keyColumns());
    }
    kernels::MutableMatrix valuesOf(kernels::MutableMatrix rows) const
    {
        return rows.columnRange(m_decoder.queryColumns() + m_decoder.keyColumns(), m_decoder.keyColumns());
    }
    kernels::MutableMatrix headColumns(kernels::MutableMatrix rows, std::size_t head) const
    {
        return rows.columnRange(head * m_decoder.headDimension, m_decoder.headDimension);
    }
    std::size_t sharedBy(std::size_t head) const { return head / (m_decoder.heads / m_decoder.keyValueHeads); }
    const RotaryTable& table() const { return m_run.tables.of(m_part.local, m_x.rows); }

    AttentionHead headOf(std::size_t head)
    {
        return {.queries = headColumns(queriesOf(m_joined), head),
            .keys = headColumns(keysOf(m_joined), sharedBy(head)),
            .values = headColumns(valuesOf(m_joined), sharedBy(head)),
            .result = headColumns(m_attended, head),
            .scale = m_decoder.attentionScale,
            .cap = m_decoder.attentionCap,
            .window = m_part.window};
    }
    /// Calls work(head, first query, queries).
    template<class Work>
    void forEachQueryTile(const Work& work) const
    {
        for (std::size_t head = 0; head < m_decoder.heads; ++head)
            for (std::size_t query = 0; query < m_x.rows && !m_run.stop.stop_requested(); query += queriesPerTile)
                work(head, query, std::min(queriesPerTile, m_x.rows - query));
    }
    void headNormBackward(const std::optional<NormLayer>& layer, const LoadedNorm& norm, kernels::ConstMatrix values,
        kernels::MutableMatrix gradient)
    {
        if (!layer)
            return;
        NormGradient weights {.norm = *layer};
        normHeadsBackward(values, m_decoder.headDimension, norm, m_decoder.architecture.norm.kind,
            m_decoder.normEpsilon, gradient, weights);
        m_gradients.norms.push_back(std::move(weights));
    }

    const AttentionPart& m_part;
    const LoadedAttention& m_loaded;
    LayersPass m_projections, m_outputLayer;
    kernels::MutableMatrix m_joined;        ///< as attention reads them
    kernels::MutableMatrix m_projected {};  ///< as they were projected, where the heads have norms
    kernels::MutableMatrix m_attended, m_outputs;
    bool m_keepsWeights;
    std::vector<AttentionWeights> m_weights {};  ///< in the order of forEachQueryTile(), where they are kept
};

class FeedForwardStep : public ResidualStep
{
public:
    FeedForwardStep(const BlockRun& run, const FeedForwardPart& part, const LoadedFeedForward& loaded,
        kernels::ConstMatrix x, SequenceGradients& gradients)
        : ResidualStep(run, part.norm, loaded.norm, x, gradients)
        , m_part(part)
        , m_loaded(loaded)
    {
    }

    void run(kernels::MutableMatrix x)
    {
        if (m_part.router) {
            m_mixture.emplace(m_run, m_part, m_loaded, m_gradients).run(m_normed, x);
            return;
        }
        m_outputs = m_gradients.keepUnset(x.rows, x.columns);
        m_dense.emplace(m_run, *m_part.dense, m_loaded.dense, m_gradients).run(m_normed, tileRowsOf(x.rows), m_outputs);
        addNormed(m_part.outputNorm, m_loaded.outputNorm, m_outputs, x);
    }

    void runBackward(kernels::MutableMatrix gradient)
    {
        const auto rows = m_x.rows, columns = m_x.columns;
        // Mixtures have no norm behind them.
        const auto outputGradient = outputNormBackward(m_decoder, m_mixture ? std::nullopt : m_part.outputNorm,
            m_loaded.outputNorm, m_outputs, gradient, m_gradients);
        std::vector<float> normedGradient(rows * columns);
        const kernels::MutableMatrix back {normedGradient.data(), rows, columns, columns};
        if (m_mixture)
            m_mixture->runBackward(outputGradient, back);
        else
            m_dense->runBackward(outputGradient, back);
        addInputGradient(back, gradient);
    }

private:
    const FeedForwardPart& m_part;
    const LoadedFeedForward& m_loaded;
    kernels::MutableMatrix m_outputs {};
    std::optional<GatedPass> m_dense {};
    std::optional<MixtureStep> m_mixture {};
};

Result<LoadedBlock> loadBlock(const BlockRun& run, const DecoderBlock& parts)
{
    LoadedBlock loaded;
    Result<void> state;
    if (!take(loadAttention(run, parts.attention), loaded.attention, state)
        || !take(loadFeedForward(run, parts.feedForward), loaded.feedForward, state))
        return tl::unexpected(state.error());
    return loaded;
}

struct BlockPass::Steps {
    Steps(const BlockRun& run, const DecoderBlock& parts, const LoadedBlock& loaded, kernels::ConstMatrix input,
        kernels::MutableMatrix result, bool keepsWeights)
        : attention(run, parts.attention, loaded.attention, input, gradients, keepsWeights)
        , between(attended(input, result))
        , feedForward(run, parts.feedForward, loaded.feedForward, between, gradients)
    {
        feedForward.run(result);
    }

    /// The stream between both parts.
    kernels::ConstMatrix attended(kernels::ConstMatrix input, kernels::MutableMatrix result)
    {
        const auto x = gradients.keepUnset(input.rows, input.columns);
        copyRows(input, x);
        attention.run(x);
        copyRows(x, result);
        return x;
    }

    SequenceGradients gradients {};
    AttentionStep attention;
    kernels::ConstMatrix between;
    FeedForwardStep feedForward;
};

BlockPass::BlockPass(const BlockRun& run, const DecoderBlock& parts, const LoadedBlock& loaded,
    kernels::ConstMatrix input, kernels::MutableMatrix result, bool keepsWeights)
    : m_steps(std::make_unique<Steps>(run, parts, loaded, input, result, keepsWeights))
{
}

BlockPass::BlockPass(BlockPass&&) noexcept = default;
BlockPass& BlockPass::operator=(BlockPass&&) noexcept = default;
BlockPass::~BlockPass() = default;

SequenceGradients BlockPass::runBackward(kernels::MutableMatrix gradient)
{
    m_steps->feedForward.runBackward(gradient);
    m_steps->attention.runBackward(gradient);
    return std::move(m_steps->gradients);
}

}  // namespace quantloupe
