// SPDX-License-Identifier: GPL-3.0-or-later
// Weights that ONNX stores quantized. Source: ONNX operator DequantizeLinear; interop notes on checkpoints, section 6;
// ONNX Runtime's operators MatMulNBits, MatMulBnb4 and GatherBlockQuantized.
#pragma once

#include "core/file_formats/affine_rows.h"
#include "core/file_formats/onnx_graph.h"

#include <optional>
#include <vector>

namespace quantloupe {

/// Numbers as decoders take them. What lies in the file number by number is put together, up to 64 MiB; nullopt beyond.
Result<std::optional<StoredElements>> storedElements(const OnnxValues& values);

/// Gives `view`, which shows the codes of `constant`, a decoder that applies its scales. As it is where the codes or
/// scales cannot be decoded. `order` is that of the codes if they lie as the weight would.
/// Errors: Malformed, Unsupported.
Result<TensorView> dequantizedOnnxView(const WireFile& file, const std::vector<OnnxConstant>& constants,
    const OnnxConstant& constant, TensorView view, const ElementOrder& order);

}  // namespace quantloupe
