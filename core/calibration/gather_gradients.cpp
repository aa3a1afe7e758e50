// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/gather_gradients.h"

#include "core/base/compute_arena.h"
#include "core/calibration/shared_inputs.h"
#include "core/inference/backward.h"
#include "core/inference/pieces.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace quantloupe {
namespace {

/// Rows of a weight gradient that one task takes.
constexpr std::size_t kFisherRows = 64;

/// What flowed through one layer, sequence by sequence.
struct LayerFlow {
    const LinearLayer* layer = nullptr;
    std::vector<const LayerGradient*> sequences {};
};

class GradientGatherer
{
public:
    GradientGatherer(const Decoder& decoder, GradientText text, bool fisher, const std::set<std::string>& known,
        const GradientLayerSink& sink, std::stop_token stop)
        : m_decoder(decoder)
        , m_text(std::move(text))
        , m_fisher(fisher)
        , m_known(known)
        , m_sink(sink)
        , m_stop(std::move(stop))
    {
    }

    Result<void> take(const PartGradients& part) const
    {
        for (const auto& flow : flowsOf(part)) {
            const auto name = nameOf(m_decoder, *flow.layer);
            if (m_known.contains(name.text()))
                continue;
            auto gathered = gather(flow, name);
            if (m_stop.stop_requested())
                return stopped(name.text());
            if (auto kept = m_sink(std::move(gathered)); !kept)
                return kept;
        }
        return {};
    }

private:
    static std::vector<LayerFlow> flowsOf(const PartGradients& part)
    {
        std::vector<LayerFlow> flows;
        for (const auto& sequence : part.sequences)
            for (const auto& gradient : sequence.layers) {
                auto found = std::find_if(flows.begin(), flows.end(), [&](const LayerFlow& flow) {
                    return flow.layer->tensor == gradient.layer.tensor
                        && flow.layer->firstRow == gradient.layer.firstRow;
                });
                if (found == flows.end())
                    found = flows.insert(flows.end(), {.layer = &gradient.layer});
                found->sequences.push_back(&gradient);
            }
        return flows;
    }

    GatheredGradients gather(const LayerFlow& flow, const LayerName& name) const
    {
        const auto& layer = *flow.layer;
        GatheredGradients gathered {.figures = {.layer = name, .text = m_text, .columns = layer.inputs},
            .moments = SecondMoments(layer.outputs)};
        auto& squares = gathered.figures.squares;
        squares.resize(layer.outputs);
        std::vector<kernels::ConstMatrix> pieces;
        for (const auto* gradient : flow.sequences) {
            pieces.push_back(gradient->outputs);
            for (std::size_t row = 0; row < gradient->outputs.rows; ++row)
                for (std::size_t output = 0; output < layer.outputs; ++output) {
                    const auto value = static_cast<double>(gradient->outputs.row(row)[output]);
                    squares[output] += value * value;
                }
        }
        if (layer.outputs <= mostGradientOutputs) {
            gathered.moments.allocate();
            const auto& all = gathered.moments.layout().squares();
            forEachPiece(all.size(), m_stop, [&](std::size_t i) {
                for (const auto& piece : pieces)
                    gathered.moments.add(all[i], std::span(&piece, 1));
            });
        }
        if (m_fisher)
            gathered.fisher = fisherOf(flow);
        return gathered;
    }

    /// Each window's own gradient, squared, one after the other.
    std::vector<float> fisherOf(const LayerFlow& flow) const
    {
        const auto outputs = flow.layer->outputs, inputs = flow.layer->inputs;
        std::vector<float> sums(outputs * inputs);
        forEachPiece((outputs + kFisherRows - 1) / kFisherRows, m_stop, [&](std::size_t piece) {
            const auto first = piece * kFisherRows;
            const auto rows = std::min(kFisherRows, outputs - first);
            std::vector<float> own(rows * inputs);
            for (const auto* gradient : flow.sequences) {
                std::fill(own.begin(), own.end(), 0.0F);
                addWeightGradient(*gradient, first, {own.data(), rows, inputs, inputs});
                for (std::size_t i = 0; i < own.size(); ++i)
                    sums[(first * inputs) + i] += own[i] * own[i];
            }
        });
        return sums;
    }

    const Decoder& m_decoder;
    GradientText m_text;
    bool m_fisher;
    const std::set<std::string>& m_known;
    const GradientLayerSink& m_sink;
    std::stop_token m_stop;
};

template<class Each>
void forEachLayer(const Decoder& decoder, const Each& each)
{
    each(decoder.head);
    for (std::size_t block = 0; block < decoder.blocks.size(); ++block)
        for (const auto& input : sharedInputsOf(decoder, block))
            std::for_each(input.layers.begin(), input.layers.end(), each);
}

/// Bytes of what is gathered of the largest layer.
std::uint64_t gatheredBytes(const Decoder& decoder, bool fisher)
{
    std::uint64_t largest = 0;
    const auto count = [&](const LinearLayer& layer) {
        const auto moments = layer.outputs <= mostGradientOutputs ? MomentLayout::sizeFor(layer.outputs) : 0;
        const auto weights = fisher ? std::uint64_t {layer.outputs} * layer.inputs : 0;
        largest = std::max(largest, (moments * sizeof(double)) + (weights * sizeof(float)));
    };
    forEachLayer(decoder, count);
    return largest;
}

}  // namespace

WindowedText windowsForGradients(const WindowedText& text, std::size_t tokens)
{
    auto cut = text;
    std::size_t taken = 0, count = 0;
    while (count < cut.windows.size() && (count == 0 || taken + cut.windows[count].length <= tokens))
        taken += cut.windows[count++].length;
    cut.windows.resize(count);
    for (auto& window : cut.windows)
        window.firstScored = 0;
    return cut;
}

std::string gradientIdentity(const WindowedText& text, bool fisher)
{
    return identityOf(text) + (fisher ? "+" : "-");
}

Result<void> gatherGradients(const Decoder& decoder, const WindowedText& text, bool fisher,
    const CalibrationLimits& limits, const std::set<std::string>& known, const GradientLayerSink& sink,
    std::stop_token stop, Progress& progress)
{
    if (text.windows.empty() || text.scored() == 0)
        return failure(ErrorCode::InvalidArgument, "text", "has no predictions to take gradients of");
    bool missing = false;
    forEachLayer(decoder,
        [&](const LinearLayer& layer) { missing = missing || !known.contains(nameOf(decoder, layer).text()); });
    if (!missing)
        return {};
    std::uint64_t longest = 0;
    for (const auto& window : text.windows)
        longest = std::max<std::uint64_t>(longest, window.length);
    const auto needed = backwardBytes(decoder, tokensOf(text), longest, true) + gatheredBytes(decoder, fisher);
    if (needed > limits.memory)
        return failure(ErrorCode::InvalidArgument, "memory",
            std::to_string(limits.memory) + " bytes are too few: gradients of " + std::to_string(tokensOf(text))
                + " tokens take " + std::to_string(needed));
    const GradientText described {
        .identity = gradientIdentity(text, fisher), .predictions = text.scored(), .windows = text.windows.size()};
    const GradientGatherer gatherer(decoder, described, fisher, known, sink, stop);
    constexpr std::uint64_t steps = 1'000'000;  // there are no bytes to count
    progress.totalBytes = steps;
    progress.totalItems = static_cast<std::uint32_t>(decoder.blocks.size() + 1);
    const BackwardHooks hooks {.loss = crossEntropyLoss(text),
        .sink =
            [&](const PartGradients& part) {
                auto done = gatherer.take(part);
                ++progress.doneItems;
                return done;
            },
        .head = true};
    return ComputeArena(limits.threads).execute([&]() -> Result<void> {
        auto done = runBackward(decoder, text, 0, text.windows.size(), hooks, stop, ProgressShare(progress, steps));
        return done ? Result<void>() : Result<void>(tl::unexpected(done.error()));
    });
}

}  // namespace quantloupe
