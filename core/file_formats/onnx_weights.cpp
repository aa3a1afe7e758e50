// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_weights.h"

#include "core/base/text.h"
#include "core/file_formats/affine_rows.h"
#include "core/file_formats/onnx_quantized.h"

namespace quantloupe {
namespace {

/// A transposed kernel is shown as any other: [out_channels, in_channels / groups, extents…].
Shape turnedKernel(const Shape& stored, std::uint64_t groups)
{
    auto shape = stored;
    shape[0] = stored[1] * groups;
    shape[1] = stored[0] / groups;
    return shape;
}

}  // namespace

Result<TensorView> onnxView(const WireFile& file, OnnxElements& elements, std::size_t index)
{
    const auto& constant = elements.constants()[index];
    const auto& values = constant.values;
    TensorView view {.dtype = values.dtype, .shape = values.shape, .bytes = values.bytes, .owner = values.owner};
    view.deferred = values.deferred;
    view.transposed = constant.use == OnnxUse::Columns;
    view.convolution = constant.use == OnnxUse::Kernel;
    auto order = ElementOrder::of(view);
    const bool turned = constant.use == OnnxUse::TransposedKernel
        && !(constant.quantization && constant.quantization->layout != OnnxQuantization::Layout::Linear);
    if (turned) {
        const auto groups = static_cast<std::uint64_t>(constant.groups);
        std::uint64_t outputs = 0;
        if (constant.groups < 1 || values.shape[0] % groups != 0
            || __builtin_mul_overflow(values.shape[1], groups, &outputs))
            return file.malformed(constant.message,
                "tensor " + inQuotes(constant.name) + ": its channels do not divide into "
                    + std::to_string(constant.groups) + " groups");
        order = ElementOrder::ofTransposedKernel(values.shape, groups);
        view.shape = turnedKernel(values.shape, groups);
        view.convolution = true;
    }
    if (constant.quantization)
        return dequantizedOnnxView(file, elements, index, std::move(view), order);
    if (turned && traitsOf(values.dtype).decodable) {
        view.packedBytes = values.size();
        view.decoder = orderedRows(order, elements.codesOf(index));
    }
    return view;
}

}  // namespace quantloupe
