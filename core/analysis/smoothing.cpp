// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/smoothing.h"

#include "core/algorithms/smooth_quant.h"
#include "core/analysis/analyze.h"
#include "core/analysis/channel_factors.h"
#include "core/analysis/norm_readers.h"
#include "core/analysis/quantized_model.h"
#include "core/analysis/smoothing_search.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace quantloupe {
namespace {

/// Largest of what any of the readers saw.
Result<std::vector<float>> sizesOf(const Model& model, const NormReaders& readers, const InputSizes& sizes)
{
    std::vector<float> largest;
    for (const auto tensor : readers.tensors()) {
        const auto found = sizes.find(model.tensors[tensor].name);
        if (found == sizes.end())
            continue;
        if (found->second.size() != matrixShape(model.tensors[tensor].view).columns)
            return failure(ErrorCode::InvalidArgument, found->first, "the sizes of its inputs are of another layer");
        largest.resize(found->second.size());
        std::transform(largest.begin(), largest.end(), found->second.begin(), largest.begin(),
            [](float a, float b) { return std::max(a, b); });
    }
    if (largest.empty())
        return failure(ErrorCode::Unsupported, model.tensors[readers.layers.front().tensor].name,
            "smooth must know how large the layer's inputs get: calibrate first");
    return largest;
}

/// What is known of inputs is known of them as they were, not of smoothed ones.
Result<void> requirePlainRounding(const Model& model, const Plan& plan, const NormReaders& readers)
{
    for (const auto tensor : readers.tensors())
        if (const auto& scheme = plan.tensors[tensor].scheme; scheme && needsInputs(*scheme))
            return failure(ErrorCode::Unsupported, model.tensors[tensor].name,
                "with quantized inputs smooth goes with rounding to nearest: '" + scheme->toString()
                    + "' goes by inputs that were not smoothed");
    return {};
}

}  // namespace

InputSizes inputSizesOf(const ModelCalibration& calibration)
{
    InputSizes sizes;
    if (!calibration.isComplete())
        return sizes;
    for (const auto& [layer, figures] : calibration.layers) {
        const auto seen = figures->inputs.absMax();
        auto& known = sizes[layer.tensor];
        known.resize(seen.size());
        std::transform(
            seen.begin(), seen.end(), known.begin(), known.begin(), [](float a, float b) { return std::max(a, b); });
    }
    return sizes;
}

Result<Smoothing> smoothInputs(const Decoder& decoder, const Plan& plan, const InputSizes& sizes,
    const SmoothingStrengths& strengths, std::stop_token stop)
{
    const auto& model = *decoder.model;
    const auto smoothed = smoothedReaders(decoder, plan);
    if (!smoothed)
        return tl::unexpected(smoothed.error());
    Smoothing smoothing {.plan = plan};
    for (auto& planned : smoothing.plan.tensors)
        if (planned.scheme)
            std::erase(planned.scheme->algorithms, Algorithm::Smooth);
    for (const auto& readers : *smoothed) {
        if (auto plain = requirePlainRounding(model, smoothing.plan, readers); !plain)
            return tl::unexpected(plain.error());
        const auto inputs = sizesOf(model, readers, sizes);
        if (!inputs)
            return tl::unexpected(inputs.error());
        std::vector<float> weights;  // the largest of each column, tensor by tensor
        for (const auto tensor : readers.tensors()) {
            Progress unseen;
            const auto measured = measureWeights(model.tensors[tensor], stop, unseen);
            if (!measured)
                return tl::unexpected(measured.error());
            weights.insert(weights.end(), measured->columnAbsMax.begin(), measured->columnAbsMax.end());
        }
        const auto factors = smoothingScales(weights, *inputs, strengths.of(readers.norm));
        smoothing.divisors[readers.norm] = factors;
        for (const auto tensor : readers.tensors())
            smoothing.columns[tensor] = factors;
    }
    return smoothing;
}

Result<ForwardHooks> quantizedModel(const Model& model, const Smoothing& smoothing,
    const std::optional<Scheme>& keyValueCache, const ActivationRanges& ranges, std::stop_token stop)
{
    // The same model with its columns multiplied, for what must be known of whole tensors.
    const auto smoothed = std::make_shared<Model>(model);
    auto ownRanges = ranges;
    for (const auto& [tensor, factors] : smoothing.columns) {
        std::vector<float> inverse;
        for (const float factor : factors)
            inverse.push_back(1.0F / factor);
        auto& own = smoothed->tensors[tensor];
        const auto rows = static_cast<std::size_t>(matrixShape(own.view).rows);
        own.view = withoutFactors(own.view, {.rows = std::vector<float>(rows, 1.0F), .columns = std::move(inverse)});
        if (const auto found = ownRanges.find(own.name); found != ownRanges.end())
            found->second = found->second.dividedBy(factors);
    }
    auto hooks = quantizedModel(*smoothed, smoothing.plan, keyValueCache, ownRanges, std::move(stop));
    if (!hooks)
        return hooks;
    hooks->divisors = smoothing.divisors;
    const auto columns = std::make_shared<const std::map<std::size_t, std::vector<float>>>(smoothing.columns);
    hooks->weights = [smoothed, columns, inner = std::move(hooks->weights)](std::size_t tensor) -> Result<RowReplacer> {
        auto replacer = inner(tensor);
        const auto found = columns->find(tensor);
        if (!replacer || found == columns->end())
            return replacer;
        return RowReplacer([columns, factors = std::span(found->second), quantize = std::move(*replacer)](
                               std::uint64_t firstRow, std::span<float> rows) {
            for (std::size_t i = 0; i < rows.size(); ++i)
                rows[i] *= factors[i % factors.size()];
            if (quantize)
                quantize(firstRow, rows);
        });
    };
    return hooks;
}

Result<RuntimeModel> runtimeModel(const Model& model, const Plan& plan, const std::optional<Scheme>& keyValueCache,
    const ModelCalibration& calibration, const std::optional<double>& alpha, std::stop_token stop)
{
    const auto ranges = activationRangesOf(calibration);
    const auto toRuntime = [](ForwardHooks hooks) { return RuntimeModel {.hooks = std::move(hooks)}; };
    const bool smooths = std::any_of(plan.tensors.begin(), plan.tensors.end(), [](const PlannedTensor& planned) {
        return planned.scheme && uses(*planned.scheme, Algorithm::Smooth) && planned.activations;
    });
    if (!smooths)
        return quantizedModel(model, plan, keyValueCache, ranges, std::move(stop)).map(toRuntime);
    const auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    const auto strengths = alpha ? Result<SmoothingStrengths>(SmoothingStrengths {.usual = *alpha})
                                 : searchStrengths(*decoder, plan, ranges, stop);
    if (!strengths)
        return tl::unexpected(strengths.error());
    const auto smoothing = smoothInputs(*decoder, plan, inputSizesOf(calibration), *strengths, stop);
    if (!smoothing)
        return tl::unexpected(smoothing.error());
    auto made = quantizedModel(model, *smoothing, keyValueCache, ranges, std::move(stop)).map(toRuntime);
    if (made)
        for (const auto& [norm, factors] : smoothing->divisors)
            made->alphas[norm] = strengths->of(norm);
    return made;
}

}  // namespace quantloupe
