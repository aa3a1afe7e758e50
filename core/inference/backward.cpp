// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/backward.h"

#include "core/inference/kept_block.h"
#include "core/inference/operations.h"
#include "core/inference/operations_backward.h"
#include "core/inference/pieces.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

namespace quantloupe {
namespace {

Result<void> refuseIntegers(const Decoder& decoder, const Replacers& replacers)
{
    const bool integers = decoder.integerFunctions
        || std::any_of(replacers.begin(), replacers.end(), [](const auto& entry) { return !!entry.second.integers(); });
    if (integers)
        return failure(
            ErrorCode::Unsupported, decoder.model->path.string(), "what is computed in integers has no gradients");
    return {};
}

/// Windows of a text on their way forward and back.
class BackwardPass
{
public:
    BackwardPass(const Decoder& decoder, const WindowedText& text, std::size_t first, std::size_t last,
        const WeightHook& weights, const InputHook& inputs, std::stop_token stop, std::uint64_t spareBytes = 0)
        : m_decoder(decoder)
        , m_text(text)
        , m_first(first)
        , m_last(last)
        , m_weights(weights)
        , m_inputHook(inputs)
        , m_stop(std::move(stop))
        , m_spareBytes(spareBytes)
    {
    }

    /// Through all blocks; `keepsInputs`: what went into each is kept.
    Result<void> forward(bool keepsInputs, const ProgressShare& progress)
    {
        if (auto readable = requireReadable(m_decoder, m_text); !readable)
            return readable;
        auto ends = askFor(
            {.weights = m_weights, .inputs = m_inputHook}, std::vector {m_decoder.embedding, m_decoder.head.tensor});
        if (!ends)
            return tl::unexpected(ends.error());
        m_ends = std::move(*ends);
        if (auto fine = refuseIntegers(m_decoder, m_ends.weights); !fine)
            return fine;
        if (m_ends.inputsOf(m_decoder.head.tensor))
            return failure(ErrorCode::Unsupported, m_decoder.model->tensors[m_decoder.head.tensor].name,
                "gradients go through replaced inputs of blocks alone: those of the output head stay");
        auto states = embed(m_decoder, m_text, m_first, m_last, m_ends.weightsOf(m_decoder.embedding), m_stop);
        if (!states)
            return tl::unexpected(states.error());
        m_states = std::move(*states);
        m_tables.emplace(m_decoder, m_states.sequences);
        auto rest = progress;
        for (std::size_t block = 0; block < m_decoder.blocks.size(); ++block) {
            const auto [share, left] = rest.split(1.0 / static_cast<double>(m_decoder.blocks.size() - block));
            rest = left;
            if (keepsInputs)
                m_inputs.push_back(copyOf(m_states, m_stop));
            const auto done = inBlock(block, [&](const BlockRun& run) {
                return keepsInputs ? forwardKeeping(run, block, share) : runBlock(run, block, m_states, share);
            });
            if (!done)
                return done;
        }
        return {};
    }

    /// From the loss to the stream behind the last block.
    Result<BackwardResult> head(const BackwardHooks& hooks)
    {
        const auto norm = loadNorm(*m_decoder.model, m_decoder.outputNorm, m_stop);
        if (!norm)
            return tl::unexpected(norm.error());
        const auto loaded = loadLayers(*m_decoder.model, std::span(&m_decoder.head, 1), m_ends.weights, m_stop);
        if (!loaded)
            return tl::unexpected(loaded.error());
        m_gradient = {.hidden = m_states.hidden,
            .sequences = m_states.sequences,
            .values = ZeroedArray<float>(m_states.values.size()),
            .firstToken = m_states.firstToken};
        std::vector<double> losses(m_states.sequences.size());
        std::vector<SequenceGradients> gradients(m_states.sequences.size());
        forEachPiece(m_states.sequences.size(), m_stop,
            [&](std::size_t i) { losses[i] = headOf(i, *norm, *loaded, hooks, gradients[i]); });
        if (m_stop.stop_requested())
            return stopped("output head");
        BackwardResult result {.loss = std::accumulate(losses.begin(), losses.end(), 0.0)};
        for (auto i = m_first; i < m_last; ++i)
            result.predictions += m_text.windows[i].scored();
        if (!std::isfinite(result.loss))
            return failure(ErrorCode::Malformed, m_decoder.model->path.string(),
                "the loss overflows: the model cannot be run in float32");
        if (auto done = hand(std::nullopt, gradients, hooks); !done)
            return tl::unexpected(done.error());
        return result;
    }

    /// Back through all blocks.
    Result<void> backward(const BackwardHooks& hooks, const ProgressShare& progress)
    {
        auto rest = progress;
        for (auto block = m_decoder.blocks.size(); block-- > 0;) {
            const auto [share, left] = rest.split(1.0 / static_cast<double>(block + 1));
            rest = left;
            auto& kept = m_kept[block];
            const auto done = kept
                ? backOf(block, hooks, share,
                    [&](std::size_t sequence, kernels::MutableMatrix gradient) {
                        return kept->runBackward(sequence, gradient);
                    })
                : inBlock(block, [&](const BlockRun& run) { return backAgain(run, block, hooks, share); });
            if (!done)
                return done;
            kept.reset();
            m_inputs[block] = {};
        }
        return {};
    }

    Result<ZeroedArray<float>> normedOutputs()
    {
        std::vector<std::size_t> rows;
        for (auto i = m_first; i < m_last; ++i) {
            const auto& window = m_text.windows[i];
            for (auto position = window.firstScored; position + 1 < window.length; ++position)
                rows.push_back(m_states.sequences[i - m_first].firstRow + position);
        }
        return normOutputs(m_decoder, m_states, rows, m_stop);
    }

    HiddenStates takeGradient() { return std::move(m_gradient); }

private:
    template<class Work>
    Result<void> inBlock(std::size_t block, const Work& work) const
    {
        const auto held = HeldBlock::hold(m_decoder, block, m_stop);
        if (!held)
            return tl::unexpected(held.error());
        const auto replaced = askFor({.weights = m_weights, .inputs = m_inputHook}, held->tensors());
        if (!replaced)
            return tl::unexpected(replaced.error());
        if (auto fine = refuseIntegers(m_decoder, replaced->weights); !fine)
            return fine;
        const LayerObserver nobody;
        return work(BlockRun {m_decoder, *m_tables, replaced->weights, nobody, m_stop, replaced->inputs});
    }

    /// Keeps all that the way back needs while there is memory for it.
    Result<void> forwardKeeping(const BlockRun& run, std::size_t block, const ProgressShare& progress)
    {
        if (auto fine = requireOwnCalls(run); !fine)
            return fine;
        auto& kept = m_kept.emplace_back();
        const auto bytes = KeptBlock::bytes(m_decoder, block, m_states.sequences, !run.inputs.empty());
        if (bytes > m_spareBytes)
            return runBlock(run, block, m_states, progress);
        m_spareBytes -= bytes;
        auto passed = KeptBlock::run(run, block, m_inputs[block], m_states, progress);
        if (!passed)
            return tl::unexpected(passed.error());
        kept = std::move(*passed);
        return {};
    }

    /// On the way back every sequence goes by itself.
    Result<void> requireOwnCalls(const BlockRun& run) const
    {
        const bool shared = m_text.windowsPerCall > 1
            && std::any_of(
                run.inputs.begin(), run.inputs.end(), [](const auto& entry) { return entry.second->needsRange; });
        if (shared)
            return failure(ErrorCode::Unsupported, "text",
                "a range that several windows have in common is not known on the way back: give each a call of its "
                "own");
        return {};
    }

    double headOf(std::size_t sequence, const LoadedNorm& norm, const LoadedLayers& loaded, const BackwardHooks& hooks,
        SequenceGradients& gradients)
    {
        const auto& window = m_text.windows[m_first + sequence];
        const auto firstRow = m_states.sequences[sequence].firstRow + window.firstScored;
        const auto count = window.scored();
        const auto hidden = m_decoder.hidden, vocabulary = loaded.outputs;
        const auto x = std::as_const(m_states).matrix().rowRange(firstRow, count);
        const auto normed = gradients.keepUnset(count, hidden);
        normRows(x, norm, m_decoder.architecture.norm, m_decoder.normEpsilon, normed);
        std::vector<float> back(count * hidden);
        const kernels::MutableMatrix normedGradient {back.data(), count, hidden, hidden};
        const auto all = hooks.head ? gradients.keepUnset(count, vocabulary) : kernels::MutableMatrix();
        std::vector<float> buffer(hooks.head ? 0 : std::min(predictionsPerTile, count) * vocabulary), capped;
        double loss = 0.0;
        for (std::size_t tile = 0; tile < count && !m_stop.stop_requested(); tile += predictionsPerTile) {
            const auto rows = std::min(predictionsPerTile, count - tile);
            const auto logits = hooks.head ? all.rowRange(tile, rows)
                                           : kernels::MutableMatrix {buffer.data(), rows, vocabulary, vocabulary};
            const std::span values(logits.data, rows * vocabulary);
            kernels::multiplyByTransposed(normed.rowRange(tile, rows), loaded.matrix(), logits);
            addBias(loaded.bias, logits);
            if (m_decoder.outputCap > 0.0F) {
                softCap(values, m_decoder.outputCap);
                capped.assign(values.begin(), values.end());
            }
            loss += hooks.loss(
                {.window = m_first + sequence, .firstPosition = window.firstScored + tile, .values = logits});
            if (m_decoder.outputCap > 0.0F)
                softCapBackward(capped, m_decoder.outputCap, values);
            kernels::multiply(logits, loaded.matrix(), normedGradient.rowRange(tile, rows));
        }
        if (hooks.head)
            gradients.layers.push_back({.layer = m_decoder.head, .inputs = normed, .outputs = all});
        NormGradient weights {.norm = m_decoder.outputNorm};
        normRowsBackward(x, norm, m_decoder.architecture.norm.kind, m_decoder.normEpsilon, normedGradient,
            m_gradient.matrix().rowRange(firstRow, count), weights);
        gradients.norms.push_back(std::move(weights));
        return loss;
    }

    /// What happened in the block is computed a second time.
    Result<void> backAgain(
        const BlockRun& run, std::size_t block, const BackwardHooks& hooks, const ProgressShare& progress)
    {
        const auto& parts = m_decoder.blocks[block];
        const auto loaded = loadBlock(run, parts);
        if (!loaded)
            return tl::unexpected(loaded.error());
        const auto inputs = std::as_const(m_inputs[block]).matrix();
        return backOf(block, hooks, progress, [&](std::size_t sequence, kernels::MutableMatrix gradient) {
            UnsetArray<float> result(gradient.rows * gradient.columns);
            const auto& [firstRow, length, call] = m_states.sequences[sequence];
            return BlockPass(run, parts, *loaded, inputs.rowRange(firstRow, length),
                {result.data(), length, gradient.columns, gradient.columns}, false)
                .runBackward(gradient);
        });
    }

    /// `passBack` takes the gradient of one sequence through the block.
    template<class PassBack>
    Result<void> backOf(
        std::size_t block, const BackwardHooks& hooks, const ProgressShare& progress, const PassBack& passBack)
    {
        const auto& sequences = m_states.sequences;
        std::vector<SequenceGradients> gradients(sequences.size());
        forEachPiece(sequences.size(), m_stop, [&](std::size_t i) {
            gradients[i] = passBack(i, m_gradient.matrix().rowRange(sequences[i].firstRow, sequences[i].length));
            progress.advance(i, i + 1, sequences.size());
        });
        if (m_stop.stop_requested())
            return stopped("backward pass");
        if (!allFinite(m_gradient.values))
            return failure(ErrorCode::Malformed, m_decoder.model->path.string(),
                "gradients overflow in block " + std::to_string(block));
        return hand(block, gradients, hooks);
    }

    static Result<void> hand(
        std::optional<std::size_t> block, std::vector<SequenceGradients>& gradients, const BackwardHooks& hooks)
    {
        return hooks.sink ? hooks.sink({.block = block, .sequences = gradients}) : Result<void>();
    }

    const Decoder& m_decoder;
    const WindowedText& m_text;
    std::size_t m_first, m_last;
    const WeightHook& m_weights;
    const InputHook& m_inputHook;
    std::stop_token m_stop;
    Replaced m_ends {};  ///< embedding and head
    HiddenStates m_states {}, m_gradient {};
    std::optional<RotaryTables> m_tables {};
    std::vector<HiddenStates> m_inputs {};              ///< of each block that is still to come on the way back
    std::vector<std::unique_ptr<KeptBlock>> m_kept {};  ///< the same; null for those that are computed a second time
    std::uint64_t m_spareBytes;
};

}  // namespace

LossFunction crossEntropyLoss(const WindowedText& text, double scale)
{
    return [&text, scale](const LogitTile& logits) {
        double loss = 0.0;
        for (std::size_t row = 0; row < logits.values.rows; ++row) {
            const std::span values(logits.values.row(row), logits.values.columns);
            const auto target = text.token(text.windows[logits.window], logits.firstPosition + row + 1);
            loss += scale * crossEntropyBackward(values, target);
            for (auto& value : values)
                value *= static_cast<float>(scale);
        }
        return loss;
    };
}

Result<BackwardResult> runBackward(const Decoder& decoder, const WindowedText& text, std::size_t first,
    std::size_t last, const BackwardHooks& hooks, std::stop_token stop, const ProgressShare& progress)
{
    const auto [forwardShare, backwardShare] =
        progress.split(1.0 / 4.0);  // the way back costs more, and may compute all a second time
    BackwardPass pass(decoder, text, first, last, hooks.weights, hooks.inputs, std::move(stop), hooks.spareBytes);
    if (auto done = pass.forward(true, forwardShare); !done)
        return tl::unexpected(done.error());
    auto result = pass.head(hooks);
    if (!result)
        return result;
    if (auto done = pass.backward(hooks, backwardShare); !done)
        return tl::unexpected(done.error());
    result->embedded = pass.takeGradient();
    return result;
}

Result<ZeroedArray<float>> runForward(const Decoder& decoder, const WindowedText& text, std::size_t first,
    std::size_t last, const WeightHook& weights, const InputHook& inputs, std::stop_token stop)
{
    Progress ignored;
    BackwardPass pass(decoder, text, first, last, weights, inputs, std::move(stop));
    if (auto done = pass.forward(false, ProgressShare(ignored, 0)); !done)
        return tl::unexpected(done.error());
    return pass.normedOutputs();
}

std::uint64_t backwardBytes(const Decoder& decoder, std::uint64_t tokens, std::uint64_t longest, bool head,
    bool replacesInputs, std::uint64_t tiles)
{
    std::uint64_t widest = 0, weights = 0;
    for (const auto& block : decoder.blocks) {
        const auto floats = blockFloats(decoder, block, replacesInputs);
        widest = std::max(widest, floats.perToken);
        weights = std::max(weights, floats.weights);
    }
    const auto table = std::uint64_t {decoder.vocabulary} * decoder.hidden;
    const auto streams = (decoder.blocks.size() + 3) * std::uint64_t {decoder.hidden};
    const auto tile = std::min<std::uint64_t>(longest, predictionsPerTile);
    const auto copies = std::uint64_t {decoder.outputCap > 0.0F ? 1U : 0U};  // capped
    const auto logits = std::uint64_t {decoder.vocabulary} * ((head ? tokens : tiles * tile) + (copies * tiles * tile));
    return sizeof(float) * (std::max(weights, table + logits) + (tokens * (streams + widest)));
}

void addWeightGradient(const LayerGradient& gradient, std::size_t firstRow, kernels::MutableMatrix sum)
{
    using kernels::Side;
    kernels::addProduct(1.0F, gradient.outputs.columnRange(firstRow, sum.rows), Side::Transposed, gradient.inputs,
        Side::Plain, 1.0F, sum);
}

}  // namespace quantloupe
