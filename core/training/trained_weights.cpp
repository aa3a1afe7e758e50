// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/trained_weights.h"

#include "core/base/zeroed_array.h"
#include "core/kernels/float_rounding.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quantloupe {
namespace {

/// Whether floats of a format are these values, every one.
bool holdsExactly(Format format, std::span<const float> values)
{
    if (format == Format::Fp32)
        return true;
    if (format != Format::Fp16 && format != Format::Bf16)
        return false;
    std::vector<float> rounded(values.size());
    if (!values.empty())
        kernels::floatFakeQuantize(format == Format::Fp16 ? kernels::FloatKind::Half : kernels::FloatKind::BrainHalf,
            values, {values.size(), values.size(), true}, {}, rounded);
    return std::equal(values.begin(), values.end(), rounded.begin());
}

/// A model, and what its views show.
struct Outline {
    ZeroedArray<float> zeros {};
    Model model {};
};

}  // namespace

Result<std::vector<float>> weightsToTrain(const ModelTensor& stored, std::stop_token stop)
{
    if (stored.view.transposed)
        return failure(ErrorCode::Unsupported, stored.name, "is stored by columns, which cannot be trained yet");
    const auto held = holdReadable(stored, std::move(stop));
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(stored.view);
    std::vector<float> weights(static_cast<std::size_t>(shape.rows * shape.columns));
    decodeRows(stored.view, 0, shape.rows, weights);
    if (!std::all_of(weights.begin(), weights.end(), [](float weight) { return std::isfinite(weight); }))
        return failure(ErrorCode::Malformed, stored.name, "holds NaN or an infinity: it cannot be trained");
    return weights;
}

void showFloats(ModelTensor& tensor, std::span<const float> values)
{
    tensor.view.dtype = DType::F32;
    tensor.view.bytes = std::as_bytes(values);
    tensor.view.owner.reset();
    tensor.view.decoder.reset();
    tensor.view.deferred.reset();
    tensor.view.packedBytes = 0;
    tensor.importance.reset();
    tensor.inputs.reset();
}

ModelPointer outlineOf(const Model& model, const std::set<std::size_t>& trained)
{
    const auto outline = std::make_shared<Outline>();
    outline->model = model;
    std::size_t largest = 0;
    for (const auto tensor : trained)
        largest = std::max(largest, static_cast<std::size_t>(model.tensors[tensor].parameters()));
    outline->zeros = ZeroedArray<float>(largest);
    for (const auto tensor : trained) {
        auto& shown = outline->model.tensors[tensor];
        showFloats(shown, {outline->zeros.data(), static_cast<std::size_t>(shown.parameters())});
    }
    return {outline, &outline->model};
}

Result<std::shared_ptr<const QuantizedTensor>> learnedAs(
    const Scheme& scheme, const LearnedTensor& tensor, std::span<const float> quantized, const std::string& name)
{
    const auto& trained = tensor.quantizer().scheme();
    if (scheme != trained && !(scheme == Scheme::of(scheme.format) && holdsExactly(scheme.format, quantized)))
        return failure(ErrorCode::Unsupported, name,
            "was trained as " + trained.toString() + ", and its codes are none of " + scheme.toString());
    return std::make_shared<const LearnedTensor>(tensor);
}

}  // namespace quantloupe
