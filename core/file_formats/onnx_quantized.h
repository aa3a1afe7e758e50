// SPDX-License-Identifier: GPL-3.0-or-later
// Weights that ONNX stores quantized. Source: ONNX operator DequantizeLinear; interop notes on checkpoints, section 6;
// ONNX Runtime's operators MatMulNBits, MatMulBnb4 and GatherBlockQuantized.
#pragma once

#include "core/file_formats/affine_rows.h"
#include "core/file_formats/onnx_graph.h"

#include <map>
#include <optional>
#include <vector>

namespace quantloupe {

/// Numbers as decoders take them. What lies in the file number by number is put together, once and up to 64 MiB in all.
class OnnxElements
{
public:
    explicit OnnxElements(const std::vector<OnnxConstant>& constants)
        : m_constants(constants)
    {
    }

    const std::vector<OnnxConstant>& constants() const { return m_constants; }
    /// nullopt beyond that. Errors: as DeferredBytes.
    Result<std::optional<StoredElements>> of(std::size_t index);

private:
    const std::vector<OnnxConstant>& m_constants;
    std::map<std::size_t, StoredElements> m_unpacked;
    std::uint64_t m_unpackedBytes = 0;
};

/// Gives `view`, which shows the codes of constant `index`, a decoder that applies its scales. As it is where the codes
/// or scales cannot be decoded. `order` is that of the codes if they lie as the weight would. Errors: Malformed,
/// Unsupported.
Result<TensorView> dequantizedOnnxView(
    const WireFile& file, OnnxElements& elements, std::size_t index, TensorView view, const ElementOrder& order);

}  // namespace quantloupe
