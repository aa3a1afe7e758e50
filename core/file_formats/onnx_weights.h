// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/onnx_quantized.h"
#include "core/tensor/tensor_view.h"

#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// A constant as it is computed with: rows the way its layer needs them, codes with their scales applied. Scales and
/// zero points that lie in the file number by number are put together now. Errors: Malformed (scales that do not fit
/// the codes), Unsupported (an operator's attributes outside what is documented).
Result<TensorView> onnxView(const WireFile& file, OnnxElements& elements, std::size_t index);

/// Names as exporters make them: of "onnx::MatMul_123" the path of the layer's node, of others themselves.
/// `index` counts the constants, for layers without a name.
std::string onnxWeightName(const OnnxConstant& constant, std::size_t index);

/// What the name of a weight, or of its layer, and its use say about it.
NameParts onnxNameParts(const OnnxConstant& constant, std::string_view name);

}  // namespace quantloupe
