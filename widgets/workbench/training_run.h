// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/checkpoints/checkpoint_target.h"
#include "core/inference/forward.h"
#include "core/study/study.h"
#include "core/training/train.h"
#include "core/training/training_plan.h"
#include "core/training/training_texts.h"
#include "core/training/training_trace.h"
#include "widgets/workbench/layers_run.h"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

/// What is to be trained, on what and how.
struct TrainingRequest {
    quantloupe::ModelPointer model {};
    quantloupe::Recipe recipe {};  ///< without algorithms
    std::filesystem::path text {};
    std::size_t tokens = 0;     ///< no more than the first so many of the text
    unsigned heldOut = 10;      ///< percent of its windows
    std::size_t context = 256;  ///< tokens of a window, unless the model was made for fewer
    quantloupe::TrainingOptions options {};
    /// Trains each layer by itself with these, instead of the whole model with `options`.
    std::optional<quantloupe::LayersTrainingOptions> layers {};
};

/// What a training has come to, for the window: immutable.
struct TrainingSnapshot {
    quantloupe::TrainingHistory history {};
    /// The same schemes rounded to nearest, on the held-out text.
    std::optional<quantloupe::TrainingEvaluation> rounded {};
    /// The recipe that was last compared, on the held-out text.
    std::optional<quantloupe::TrainingEvaluation> compared {};
    std::vector<std::string> trained {}, kept {};  ///< tensors; kept: that the recipe was to quantize
    std::size_t windows = 0, heldOutWindows = 0;
    bool isDone = false;  ///< trained and evaluated to the end

    std::string watched {};  ///< tensor that the rest is of; empty: none that is trained
    std::vector<quantloupe::StepSpread> spreads {};
    std::optional<quantloupe::LevelHistogram> beginning {}, now {};

    /// Of layers that are trained by themselves; then `history` and what is judged by it are empty.
    std::shared_ptr<const LayersSnapshot> layers {};
};
using TrainingSnapshotPointer = std::shared_ptr<const TrainingSnapshot>;

/// A training with all that it borrows, shared by the window and the jobs that work on it. Long functions are for jobs
/// and exclude each other; the others may be called on any thread.
class TrainingRun
{
public:
    explicit TrainingRun(TrainingRequest request);

    /// Begins, or goes on where it was stopped, with the same bits. Errors: those of describeDecoder(),
    /// readModelText(), holdOut(), planTraining(), quantizedInputs(), of Training and of LayersRun.
    quantloupe::Result<void> train(std::stop_token stop, quantloupe::Progress& progress);
    /// The codes and grids as they were trained; replaces what has the name. Errors: Unsupported (the format cannot
    /// hold them), those of writeCheckpoint().
    quantloupe::Result<quantloupe::WrittenCheckpoint> write(const quantloupe::CheckpointTarget& target,
        const std::filesystem::path& path, std::stop_token stop, quantloupe::Progress& progress);
    /// Runs a recipe with all it says, of the same model and by what a study knows of it, on the held-out text.
    /// Errors: those of runtimeModel() and of evaluate(); InvalidArgument before the training has begun.
    quantloupe::Result<void> compare(const quantloupe::Recipe& recipe, const quantloupe::ModelPointer& model,
        const quantloupe::StudyPointer& study, std::stop_token stop, quantloupe::Progress& progress);
    /// A checkpoint format, and why it cannot hold what is trained.
    struct Target {
        const quantloupe::CheckpointTarget* target = nullptr;
        std::optional<quantloupe::Error> refusal {};
    };
    std::vector<Target> targets();
    /// Looks at the watched tensor anew while nobody trains.
    void look();

    /// The tensor that snapshots from now on show the scales and weights of.
    void watch(const std::string& tensor);
    /// Null before the training has begun.
    TrainingSnapshotPointer published() const;
    const TrainingRequest& request() const { return m_request; }

private:
    quantloupe::Result<void> begin(const std::stop_token& stop);
    quantloupe::Result<void> beginTraining(const std::stop_token& stop);
    bool hasBegun() const { return m_training || m_layers; }
    quantloupe::ModelPointer trainedModel() const;
    void publishNow(TrainingSnapshot snapshot);
    void publishSometimes();
    quantloupe::Result<void> measureRounding(const std::stop_token& stop);
    quantloupe::Result<quantloupe::TrainingEvaluation> measure(const quantloupe::Decoder& decoder,
        const quantloupe::ForwardHooks& hooks, const std::stop_token& stop, quantloupe::Progress& progress) const;
    /// The student as a format would write it.
    quantloupe::Result<quantloupe::CheckpointDraft> draft(
        const quantloupe::CheckpointTarget& target, const quantloupe::ModelPointer& student) const;
    void noteStep();
    void publish();

    const TrainingRequest m_request;
    std::mutex m_use;  // held by long functions
    quantloupe::Decoder m_decoder;
    quantloupe::TrainingTexts m_texts;
    quantloupe::TrainingPlan m_plan;
    quantloupe::InputHook m_inputs;  ///< what the plan makes of layers' inputs
    std::unique_ptr<quantloupe::Training> m_training;
    std::unique_ptr<LayersRun> m_layers;  ///< one of both, once it has begun
    std::optional<quantloupe::TrainingTrace> m_trace;
    std::optional<quantloupe::TrainingEvaluation> m_rounded, m_compared;
    std::chrono::steady_clock::time_point m_nextPublication {};

    mutable std::mutex m_publicationMutex;  // held for copies only
    std::string m_watched;
    TrainingSnapshotPointer m_published;
};
