// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/pretrain.h"

#include "core/base/compute_arena.h"
#include "core/inference/evaluate.h"
#include "core/inference/pieces.h"
#include "core/training/batches.h"
#include "core/training/epoch_order.h"
#include "core/training/trained_weights.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

/// For what a pass need not compute a second time.
constexpr std::uint64_t kSpareBytes = std::uint64_t {1} << 30U;

Result<void> requireUsable(const WindowedText& text, const WindowedText& heldOut, const PretrainingOptions& options)
{
    if (auto usable = requirePredictions(text, heldOut); !usable)
        return usable;
    const auto refuse = [](const char* why) { return failure(ErrorCode::InvalidArgument, "training", why); };
    if (options.steps == 0 || options.batch == 0)
        return refuse("steps and batch must be above 0");
    if (!(options.learningRate > 0.0) || !(options.weightDecay >= 0.0) || !(options.clipNorm >= 0.0))
        return refuse("the learning rate must be above 0, weight decay and clipping not below");
    return {};
}

/// Every tensor that Pretraining has gradients for.
std::set<std::size_t> tensorsWithGradients(const Decoder& decoder)
{
    auto tensors = normVectorsOf(decoder);
    for (const auto& block : decoder.blocks)
        for (const auto tensor : matricesOf(block))
            tensors.insert(tensor);
    tensors.insert(decoder.embedding);
    tensors.insert(decoder.head.tensor);
    return tensors;
}

}  // namespace

Pretraining::Pretraining(const WindowedText& text, const WindowedText& heldOut, const PretrainingOptions& options)
    : m_text(text)
    , m_heldOut(heldOut)
    , m_options(options)
{
}

Result<std::unique_ptr<Pretraining>> Pretraining::begin(const Model& start, const WindowedText& text,
    const WindowedText& heldOut, const PretrainingOptions& options, std::stop_token stop)
{
    if (auto usable = requireUsable(text, heldOut, options); !usable)
        return tl::unexpected(usable.error());
    std::unique_ptr<Pretraining> training(new Pretraining(text, heldOut, options));
    training->m_model = start;
    auto decoder = describeDecoder(training->m_model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    training->m_decoder = std::move(*decoder);
    for (const auto* one : {&text, &heldOut})
        if (auto readable = requireReadable(training->m_decoder, *one); !readable)
            return tl::unexpected(readable.error());
    if (auto taken = training->takeTensors(std::move(stop)); !taken)
        return tl::unexpected(taken.error());
    return training;
}

Result<void> Pretraining::takeTensors(std::stop_token stop)
{
    const auto trained = tensorsWithGradients(m_decoder);
    for (std::size_t i = 0; i < m_model.tensors.size(); ++i) {
        auto& tensor = m_model.tensors[i];
        if (!trained.contains(i))
            return failure(ErrorCode::Unsupported, tensor.name,
                "has no gradient here: matrices, norms, embedding and output head alone are trained");
        auto values = weightsToTrain(tensor, stop);
        if (!values)
            return tl::unexpected(values.error());
        auto& taken = m_values[i];
        taken.values = std::move(*values);
        taken.gradient.resize(taken.values.size());
        showFloats(tensor, taken.values);
    }
    return {};
}

TrainedValues* Pretraining::valuesOf(std::size_t tensor)
{
    const auto found = m_values.find(tensor);
    return found == m_values.end() ? nullptr : &found->second;
}

/// What flows back through the lookup: a row of the table gets the gradients of all places where its token stands.
void Pretraining::addEmbedded(const WindowedText& batch, const HiddenStates& gradient)
{
    auto& table = m_values.at(m_decoder.embedding).gradient;
    const auto width = gradient.hidden;
    for (std::size_t i = 0; i < gradient.sequences.size(); ++i) {
        const auto& sequence = gradient.sequences[i];
        for (std::size_t position = 0; position < sequence.length; ++position) {
            const auto* row = gradient.matrix().row(sequence.firstRow + position);
            auto* sum = table.data() + (batch.token(batch.windows[i], position) * width);
            for (std::size_t column = 0; column < width; ++column)
                sum[column] += m_decoder.embeddingScale * row[column];
        }
    }
}

Result<double> Pretraining::update(double rate)
{
    std::vector<TrainedValues*> all;
    std::vector<double> decays;
    for (auto& [tensor, values] : m_values) {
        all.push_back(&values);
        decays.push_back(m_model.tensors[tensor].view.shape.size() > 1 ? m_options.weightDecay : 0.0);
    }
    const auto number = std::uint64_t {m_history.steps.size()} + 1;
    const auto norm = clipGradients(all, m_options.clipNorm, m_model, number);
    if (!norm)
        return norm;
    // A step that was begun ends.
    forEachPiece(all.size(), std::stop_token(), [&](std::size_t i) {
        all[i]->adam.update(all[i]->values, all[i]->gradient, rate, decays[i], number, m_options.adam);
    });
    return norm;
}

Result<TrainingStep> Pretraining::step(std::stop_token stop)
{
    const auto number = std::uint64_t {m_history.steps.size()};
    const auto batch =
        someWindows(m_text, examplesOfStep(m_text.windows.size(), m_options.batch, number, m_options.seed));
    TrainingStep made {
        .step = number, .rate = scheduledRate(m_options.learningRate, number, m_options.steps, m_options.warmUp)};
    return ComputeArena(m_options.threads).execute([&]() -> Result<TrainingStep> {
        for (auto& [tensor, values] : m_values)
            std::fill(values.gradient.begin(), values.gradient.end(), 0.0F);
        const BackwardHooks hooks {.loss = crossEntropyLoss(batch, 1.0 / static_cast<double>(batch.scored())),
            .sink =
                [&](const PartGradients& part) {
                    return addGradients(
                        part, [this](std::size_t tensor) { return valuesOf(tensor); }, stop);
                },
            .head = true,
            .spareBytes = kSpareBytes};
        Progress ignored;
        const auto pass =
            runBackward(m_decoder, batch, 0, batch.windows.size(), hooks, stop, ProgressShare(ignored, 0));
        if (!pass)
            return tl::unexpected(pass.error());
        addEmbedded(batch, pass->embedded);
        const auto norm = update(made.rate);
        if (!norm)
            return tl::unexpected(norm.error());
        made.loss = pass->loss;
        made.gradientNorm = *norm;
        m_history.steps.push_back(made);
        return made;
    });
}

Result<PretrainingEvaluation> Pretraining::evaluate(std::stop_token stop)
{
    Progress ignored;
    const auto found =
        quantloupe::evaluate(m_decoder, m_heldOut, {}, {.threads = m_options.threads}, std::move(stop), ignored);
    if (!found)
        return tl::unexpected(found.error());
    return PretrainingEvaluation {.step = m_history.steps.size(), .perplexity = found->base.value};
}

Result<void> Pretraining::run(std::stop_token stop, Progress& progress, const std::function<void()>& afterEvaluation)
{
    progress.totalItems = static_cast<std::uint32_t>(m_options.steps);
    progress.totalBytes = m_options.steps;
    const auto judge = [&]() -> Result<void> {
        const auto found = evaluate(stop);
        if (!found)
            return tl::unexpected(found.error());
        m_history.evaluations.push_back(*found);
        if (afterEvaluation)
            afterEvaluation();
        return {};
    };
    while (true) {
        const auto done = std::uint64_t {m_history.steps.size()};
        progress.doneItems = static_cast<std::uint32_t>(done);
        progress.doneBytes = done;
        const bool ends = done >= m_options.steps;
        if (ends || done == 0 || (m_options.evaluateEvery != 0 && done % m_options.evaluateEvery == 0))
            if (auto judged = judge(); !judged)
                return judged;
        if (ends)
            return {};
        if (auto made = step(stop); !made)
            return tl::unexpected(made.error());
    }
}

}  // namespace quantloupe
