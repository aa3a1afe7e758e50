// SPDX-License-Identifier: GPL-3.0-or-later
// Training of a whole language model on the text's own next token. Source: Radford et al., "Improving language
// understanding by generative pre-training" (2018); AdamW and the cosine as in adam.h.
#pragma once

#include "core/base/progress.h"
#include "core/training/train.h"
#include "core/training/trained_values.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

struct PretrainingOptions {
    std::uint64_t steps = 600;
    std::size_t batch = 8;  ///< windows of a step
    double learningRate = 4e-3;
    std::uint64_t warmUp = 30;
    double weightDecay = 0.1;  ///< of matrices; norms have none
    double clipNorm = 1.0;     ///< of all gradients together; 0: any
    AdamSettings adam {.secondDecay = 0.95};
    std::uint64_t seed = 0;             ///< of the order of windows
    std::uint64_t evaluateEvery = 100;  ///< steps; 0: only at both ends
    unsigned threads = 0;
};

struct PretrainingEvaluation {
    std::uint64_t step = 0;   ///< so many are done
    double perplexity = 0.0;  ///< on the held-out text
    bool operator==(const PretrainingEvaluation&) const = default;
};

struct PretrainingHistory {
    std::vector<TrainingStep> steps {};
    std::vector<PretrainingEvaluation> evaluations {};
    bool operator==(const PretrainingHistory&) const = default;
};

/// A model all of whose tensors are trained: matrices, norms, embedding and output head (one where they are tied). They
/// lie in memory as float32, with gradients and two moments: 16 bytes per parameter; a step takes
/// backwardBytes() of its batch on top, and up to 1 GiB more for what is not computed a second time. The bits depend on
/// the options and the processor, not on the number of threads.
class Pretraining
{
public:
    /// From the weights of `start`, on a text that is not the one it is judged by. Both texts outlive the training.
    /// Errors: InvalidArgument (options, texts), Unsupported (a tensor that would not be trained, such as a bias of a
    /// linear layer; matrices stored by columns), those of describeDecoder() and of reading weights.
    static Result<std::unique_ptr<Pretraining>> begin(const Model& start, const WindowedText& text,
        const WindowedText& heldOut, const PretrainingOptions& options, std::stop_token stop);
    Pretraining(const Pretraining&) = delete;
    Pretraining& operator=(const Pretraining&) = delete;

    /// Forward, back and an update. Errors: Cancelled (the step was not done), Malformed (numbers that overflow; the
    /// weights are as they were).
    Result<TrainingStep> step(std::stop_token stop);
    /// On the held-out text. Errors: Cancelled, Malformed.
    Result<PretrainingEvaluation> evaluate(std::stop_token stop);
    /// Steps and evaluations up to the end; `afterEvaluation` is called on the calling thread. Errors: those of both.
    Result<void> run(std::stop_token stop, Progress& progress, const std::function<void()>& afterEvaluation = {});

    /// The model as trained so far; its views borrow this training's memory.
    const Model& model() const { return m_model; }
    /// By tensor.
    const std::map<std::size_t, TrainedValues>& values() const { return m_values; }
    const PretrainingHistory& history() const { return m_history; }

private:
    Pretraining(const WindowedText& text, const WindowedText& heldOut, const PretrainingOptions& options);
    Result<void> takeTensors(std::stop_token stop);
    TrainedValues* valuesOf(std::size_t tensor);
    void addEmbedded(const WindowedText& batch, const HiddenStates& gradient);
    Result<double> update(double rate);

    const WindowedText& m_text;
    const WindowedText& m_heldOut;
    PretrainingOptions m_options;
    Model m_model {};
    Decoder m_decoder {};
    std::map<std::size_t, TrainedValues> m_values {};
    PretrainingHistory m_history {};
};

}  // namespace quantloupe
