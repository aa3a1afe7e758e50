// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/model_calibration.h"
#include "core/analysis/quantized_model.h"
#include "core/inference/decoder.h"
#include "core/inference/weights.h"

#include <cstddef>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// Largest |input| of each channel of a layer, as it was when the model ran on text; by the name of the layer's tensor.
using InputSizes = std::map<std::string, std::vector<float>, std::less<>>;

/// Those that calibration saw; experts of a stack share the largest of theirs.
InputSizes inputSizesOf(const ModelCalibration& calibration);

/// SmoothQuant over a whole model (smooth_quant.h): outliers of activations moved into the weights that read them.
struct Smoothing {
    NormDivisors divisors {};                              ///< by the norm's tensor
    std::map<std::size_t, std::vector<float>> columns {};  ///< by which columns of a weight matrix are multiplied
    Plan plan {};                                          ///< the rest to do: without `smooth`
};

/// The strength of the paper.
inline constexpr double usualSmoothing = 0.5;

/// How much of the outliers is moved: α in 0 … 1, by the norm's tensor.
struct SmoothingStrengths {
    double usual = usualSmoothing;  ///< of norms that are not named
    std::map<std::size_t, double> byNorm {};

    double of(std::size_t norm) const
    {
        const auto found = byNorm.find(norm);
        return found == byNorm.end() ? usual : found->second;
    }
};

/// Factors for the layers behind the norms of attention and of feed-forward where the plan says `smooth`: all that read
/// the same inputs get the same. Layers whose inputs no norm makes (the outputs of attention and feed-forward) stay as
/// they are, as in the original. Works in the caller's task arena.
/// Errors: InvalidArgument (layers with the same inputs, of which only some are smoothed), Unsupported (sizes that are
/// missing), each naming the tensor; those of measureWeights().
Result<Smoothing> smoothInputs(const Decoder& decoder, const Plan& plan, const InputSizes& sizes,
    const SmoothingStrengths& strengths, std::stop_token stop);

/// quantizedModel() of the smoothed model; `ranges` are of inputs as they were before. The hooks borrow the model.
Result<ForwardHooks> quantizedModel(const Model& model, const Smoothing& smoothing,
    const std::optional<Scheme>& keyValueCache, const ActivationRanges& ranges, std::stop_token stop);

/// What runs in place of a model.
struct RuntimeModel {
    ForwardHooks hooks {};
    std::map<std::size_t, double> alphas {};  ///< with which norms divide, by their tensors; empty: nothing is smoothed
};

/// quantizedModel() by what a calibration knows: static ranges where activations can have them, and, where the plan
/// smooths layers with quantized inputs, the norms in front of them divide, by `alpha` or, without one, each by the
/// strength that searchStrengths() finds. Works in the caller's task arena.
Result<RuntimeModel> runtimeModel(const Model& model, const Plan& plan, const std::optional<Scheme>& keyValueCache,
    const ModelCalibration& calibration, const std::optional<double>& alpha, std::stop_token stop);

}  // namespace quantloupe
