// SPDX-License-Identifier: GPL-3.0-or-later
// Quantization-aware training of one linear layer by itself. Sources: Nagel et al., "Up or down? Adaptive rounding"
// (2020; a layer's outputs as what is to be kept); Esser et al., "Learned step size quantization" (2020).
#pragma once

#include "core/base/progress_share.h"
#include "core/calibration/layer_inputs.h"
#include "core/training/trained_layer.h"
#include "core/algorithms/trained_quantizer.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

namespace quantloupe {

/// What the trained weights and grids begin as. Grids of gptq and cd stay so where the rule does not learn them.
///
/// Measured on layers of stories260K and a synthetic one with int2 and int3: gradient descent from round-to-nearest
/// ends mostly between GPTQ and coordinate descent, or short of GPTQ with estimated grids; from coordinate descent it
/// finds the last per cent or less.
enum class LayerStart : std::uint8_t {
    Best,     ///< that of the others which the scheme takes and whose outputs err least on the deciding tokens
    Nearest,  ///< "rtn": the original weights
    Gptq,     ///< "gptq": its codes and grids
    Descent,  ///< "cd": those of coordinate descent behind gptq
};
std::string_view nameOf(LayerStart start);
std::optional<LayerStart> layerStartNamed(std::string_view name);

struct LayerTrainingOptions {
    std::uint64_t steps = 1'000;
    std::size_t batch = 256;  ///< tokens of a step, where it goes by tokens
    /// Highest, as a share of the grids' mean step, √12 · rms(W − Ŵ) of round-to-nearest: the same for layers of any
    /// size. So small that few weights change their code in a step: what a code's whole step does to the outputs, the
    /// gradient at one point does not tell, and many at once overshoot.
    double learningRate = 5e-4;
    double stepRate = 0.1;  ///< of learned grids, as a share of learningRate
    std::uint64_t warmUp = 20;
    StepRule rule = StepRule::Estimated;
    LayerStart start = LayerStart::Best;
    std::uint64_t seed = 0;            ///< of the order of tokens
    std::uint64_t evaluateEvery = 20;  ///< steps; 0: only at both ends
    std::uint64_t patience = 20;       ///< evaluations without a better one after which training ends; 0: never early
    unsigned threads = 0;

    bool operator==(const LayerTrainingOptions&) const = default;
};

/// What a layer's outputs lose, E = W − Ŵ.
struct LayerError {
    double squared = 0.0;   ///< ‖E·x‖², mean over tokens
    double relative = 0.0;  ///< the same over ‖W·x‖²; 0 where nothing comes out
    bool operator==(const LayerError&) const = default;
};

/// One way of rounding, on the tokens that it was fitted to and on the judging ones, which nothing was chosen by.
struct LayerMethod {
    LayerError training {}, heldOut {};
    bool operator==(const LayerMethod&) const = default;
};

struct LayerTrainingStep {
    std::uint64_t step = 0;  ///< from 0
    double loss = 0.0;       ///< ‖E·x‖², mean over the step's tokens, before its update
    double rate = 0.0;       ///< learning rate of the weights, in their own unit
    bool operator==(const LayerTrainingStep&) const = default;
};

struct LayerEvaluation {
    std::uint64_t step = 0;  ///< so many are done
    LayerError deciding {};  ///< on the held-out tokens that decide what is kept
    bool operator==(const LayerEvaluation&) const = default;
};

struct LayerTrainingHistory {
    std::vector<LayerTrainingStep> steps {};
    std::vector<LayerEvaluation> evaluations {};
    bool operator==(const LayerTrainingHistory&) const = default;
};

/// How training compares on tokens that nothing was chosen by.
enum class LayerVerdict : std::uint8_t {
    BetterThanNearest,     ///< of a format that GPTQ does not round
    NotBetterThanNearest,  ///< likewise, or of a layer on which GPTQ is worse than plain rounding, too
    BetterThanGptq,        ///< and than rounding to nearest
    IsGptq,                ///< no step made its rounding better
    NotBetterThanGptq,
};

struct LayerTrainingResult {
    LayerMethod nearest {};                  ///< round-to-nearest by the scheme's own range
    std::optional<LayerMethod> gptq {};      ///< absent: the scheme does not take it
    LayerMethod begun {};                    ///< the start, before any step
    LayerMethod trained {};                  ///< what is kept
    LayerStart start = LayerStart::Nearest;  ///< that it began from, never Best
    std::uint64_t keptStep = 0;              ///< so many steps led to what is kept; 0: the start itself
    bool byMoments = false;                  ///< steps went by the second moments, not by tokens
    std::uint64_t trainingTokens = 0, decidingTokens = 0, judgingTokens = 0;
    LayerTrainingHistory history {};
    std::shared_ptr<const TrainedLayer> layer;  ///< codes, grids and Ŵ

    LayerVerdict verdict() const;
    bool beatsStart() const { return trained.heldOut.squared < begun.heldOut.squared; }
    bool beatsNearest() const { return trained.heldOut.squared < nearest.heldOut.squared; }
    bool beatsGptq() const { return !gptq || trained.heldOut.squared < gptq->heldOut.squared; }
};

/// Original weights, and the inputs x of the original model. Borrowed: they outlive the training.
///
/// training: a sample, second moments, or both; GPTQ goes by the moments, or by those of the sample. heldOut: of other
/// tokens, a sample or moments. The first half of a held-out sample decides what is kept, the rest judges; of moments
/// all tokens do both.
struct LayerToTrain {
    std::span<const float> weights {};  ///< rows × columns
    std::size_t rows = 0, columns = 0;
    const LayerInputs* training = nullptr;
    const LayerInputs* heldOut = nullptr;
};

/// A calibration's sample cut in two, without moments, which know all of it: the first tokens to train on, and a share
/// at the end, held out. Errors: InvalidArgument (fewer than four tokens, a share that leaves nothing).
struct SplitInputs {
    LayerInputs training {}, heldOut {};
};
Result<SplitInputs> splitSample(const LayerInputs& inputs, double heldOutShare);

/// A training under way: minimizes ‖X·(W − Ŵ)ᵀ‖² by Adam through the straight-through estimator, the rows of weights
/// block by block: Ŵ, the products and the update of one block stay in the cache. ∂/∂Ŵ = 2·(Ŵ − W)·H with H = Xᵀ·X of
/// the step's tokens; where all tokens' moments cost no more than a batch (columns ≤ 2·batch), or are all there is,
/// steps go by them. A step is whole or was not done. The bits depend neither on threads nor on stops.
/// 20 bytes per weight, and the inputs.
class LayerTraining
{
public:
    /// Rounds to nearest and by GPTQ, and chooses the start. Errors: InvalidArgument (sizes, numbers that are not
    /// finite, no tokens, options), Unsupported (scheme, rule, start), Cancelled.
    static Result<std::unique_ptr<LayerTraining>> begin(const LayerToTrain& layer, const Scheme& scheme,
        const LayerTrainingOptions& options, std::stop_token stop, const ProgressShare& progress);
    ~LayerTraining();
    LayerTraining(const LayerTraining&) = delete;
    LayerTraining& operator=(const LayerTraining&) = delete;

    /// One step on all rows. Errors: Cancelled (nothing was changed), Malformed (numbers that overflow; likewise).
    Result<LayerTrainingStep> step(std::stop_token stop);
    /// On the deciding tokens; what is better than all before is kept. Errors: Cancelled.
    Result<LayerEvaluation> evaluate(std::stop_token stop);
    /// Steps and evaluations up to the end; `afterStep` is called on the calling thread after each step, history() is
    /// then up to date. Errors: those of both and of `afterStep`. A run that was stopped goes on.
    Result<void> run(std::stop_token stop, const ProgressShare& progress,
        const std::function<Result<void>(const LayerTrainingStep&)>& afterStep = {});
    /// What is kept so far, judged. For a stopped training, too. Errors: Cancelled.
    Result<LayerTrainingResult> result(std::stop_token stop) const;

    bool isDone() const;
    const LayerTrainingOptions& options() const;
    const LayerTrainingHistory& history() const;
    const LayerMethod& nearest() const;
    const std::optional<LayerMethod>& gptq() const;
    const LayerMethod& begun() const;
    LayerStart start() const;

private:
    class Work;
    explicit LayerTraining(std::unique_ptr<Work> work);
    std::unique_ptr<Work> m_work;
};

/// begin(), run() and result() in one.
Result<LayerTrainingResult> trainLayer(const LayerToTrain& layer, const Scheme& scheme,
    const LayerTrainingOptions& options, std::stop_token stop, const ProgressShare& progress,
    const std::function<Result<void>(const LayerTrainingStep&)>& afterStep = {});

}  // namespace quantloupe
