// SPDX-License-Identifier: GPL-3.0-or-later
// End-to-end quantization-aware training.
#pragma once

#include "core/base/progress.h"
#include "core/training/distillation.h"
#include "core/training/student.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

struct TrainingOptions {
    std::uint64_t steps = 400;
    std::size_t batch = 8;       ///< windows of a step
    std::size_t accumulate = 1;  ///< passes that a step's windows are cut into: less memory, the same gradient
    double learningRate = 1e-3;
    double stepRate = 0.1;  ///< of learned steps, as a share of learningRate
    std::uint64_t warmUp = 20;
    double weightDecay = 0.0, clipNorm = 0.0;
    bool distils = true;  ///< loss: KL from the original's predictions; else −log p of the text's own next token
    StepRule rule = StepRule::Estimated;
    std::uint64_t seed = 0;            ///< of the order of windows
    std::uint64_t evaluateEvery = 50;  ///< steps; 0: only at both ends
    std::uint64_t patience = 0;        ///< evaluations without a better one after which training ends; 0: never early
    unsigned threads = 0;
    std::uint64_t memory = std::uint64_t {4} << 30U;  ///< bytes for all that is trained, what teaches it, and a pass

    bool operator==(const TrainingOptions&) const = default;
};

/// The student against its teacher on a text that it is not trained on.
struct TrainingEvaluation {
    std::uint64_t step = 0;  ///< so many are done
    double perplexity = 0.0, teacherPerplexity = 0.0;
    double divergence = 0.0;    ///< mean KL(teacher ‖ student), nats per prediction
    double topAgreement = 0.0;  ///< share of predictions with the same likeliest token
    bool operator==(const TrainingEvaluation&) const = default;
};

struct TrainingStep {
    std::uint64_t step = 0;
    double loss = 0.0;          ///< mean over the batch's predictions, nats
    double rate = 0.0;          ///< learning rate
    double gradientNorm = 0.0;  ///< before clipping
    bool operator==(const TrainingStep&) const = default;
};

struct TrainingHistory {
    std::vector<TrainingStep> steps {};
    std::vector<TrainingEvaluation> evaluations {};
    bool operator==(const TrainingHistory&) const = default;
};

/// A training under way. A step is whole or was not begun: a training that was stopped goes on with the same bits.
class Training
{
public:
    /// Both texts must have windows. The teacher, the plan's model and the texts outlive the training. `inputs`: what
    /// the plan makes of its layers' inputs, the same in the student's passes and where it is judged; a replacer that
    /// must know the range of a call is given that of a window in training.
    /// Errors: InvalidArgument (options, texts, memory, a plan for tensors that are not trained: Student::untrained(),
    /// or for inputs that `inputs` leaves as they are), those of Student::create() and of runBackward().
    static Result<std::unique_ptr<Training>> begin(const Decoder& teacher, const Plan& plan, const WindowedText& text,
        const WindowedText& heldOut, const TrainingOptions& options, std::stop_token stop, InputHook inputs = {});
    /// begin() and resume() in one, without looking for grids to begin with. Errors: those of both.
    static Result<std::unique_ptr<Training>> goOn(const std::filesystem::path& path, const Decoder& teacher,
        const Plan& plan, const WindowedText& text, const WindowedText& heldOut, const TrainingOptions& options,
        std::stop_token stop, InputHook inputs = {});

    /// One step: forward and back through the quantized weights, and an update. Errors: Cancelled (the step was not
    /// done), Malformed (numbers that overflow; the weights are as they were).
    Result<TrainingStep> step(std::stop_token stop);
    /// On the held-out text. Errors: Cancelled.
    Result<TrainingEvaluation> evaluate(std::stop_token stop);
    /// Steps and evaluations up to the end; `afterStep` is called on the calling thread after each step. Errors: those
    /// of both and of `afterStep`.
    Result<void> run(std::stop_token stop, Progress& progress, const std::function<Result<void>()>& afterStep = {});

    bool isDone() const;
    const TrainingHistory& history() const { return m_history; }
    /// Its weights are quantized as they are now.
    Student& student() { return *m_student; }

    /// What a later program goes on from, as a file of its own that ends in a checksum. Errors: CannotWrite.
    Result<void> save(const std::filesystem::path& path) const;
    /// Goes on from there. Errors: CannotOpen, Malformed (damaged, numbers that are not finite), Conflict (of another
    /// model, scheme, text or other options).
    Result<void> resume(const std::filesystem::path& path);

private:
    Training(const Decoder& teacher, const WindowedText& text, const WindowedText& heldOut, TrainingOptions options,
        InputHook inputs);
    /// Ready to be initialized, or to resume().
    static Result<std::unique_ptr<Training>> prepare(const Decoder& teacher, const Plan& plan, const WindowedText& text,
        const WindowedText& heldOut, const TrainingOptions& options, std::stop_token stop, InputHook inputs);
    std::vector<std::size_t> windowsOfStep(std::uint64_t step) const;
    Result<std::map<std::size_t, std::vector<double>>> measureInputs(std::stop_token stop);
    std::vector<std::vector<std::size_t>> passesOf(const std::vector<std::size_t>& windows) const;
    bool isEvaluationDue() const;
    Result<double> addPass(const std::vector<std::size_t>& windows, double scale, const std::stop_token& stop);
    std::string identity() const;

    const Decoder& m_teacher;
    const WindowedText& m_text;
    const WindowedText& m_heldOut;
    TrainingOptions m_options;
    InputHook m_inputs;
    std::string m_schemes {};  ///< of the plan, by tensor
    std::unique_ptr<Student> m_student {};
    std::optional<TaughtOutputs> m_taught {};
    std::uint64_t m_spareBytes = 0;  ///< of the memory, for a pass
    LoadedLayers m_teacherHead {};   ///< where it distils
    std::uint64_t m_done = 0;
    TrainingHistory m_history {};
};

}  // namespace quantloupe
