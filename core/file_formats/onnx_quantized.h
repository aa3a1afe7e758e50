// SPDX-License-Identifier: GPL-3.0-or-later
// Weights that ONNX stores quantized. Source: ONNX operator DequantizeLinear; interop notes on checkpoints, section 6;
// ONNX Runtime's operators MatMulNBits, MatMulBnb4 and GatherBlockQuantized.
#pragma once

#include "core/file_formats/affine_rows.h"
#include "core/file_formats/onnx_graph.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// Scales and zero points as decoders take them. Those that lie in the file number by number are put together, once and
/// up to 64 MiB in all.
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
    /// Codes, which are put together when the view is held.
    StoredElements codesOf(std::size_t index) const;

    /// Weights that stay as their codes because of that limit.
    void leave(std::size_t index) { m_left.push_back(m_constants[index].name); }
    const std::vector<std::string>& left() const { return m_left; }

private:
    const std::vector<OnnxConstant>& m_constants;
    std::map<std::size_t, StoredElements> m_unpacked;
    std::uint64_t m_unpackedBytes = 0;
    std::vector<std::string> m_left;
};

/// Gives `view`, which shows the codes of constant `index`, a decoder that applies its scales. As it is where the codes
/// or scales cannot be decoded. `order` is that of the codes if they lie as the weight would. Errors: Malformed,
/// Unsupported.
Result<TensorView> dequantizedOnnxView(
    const WireFile& file, OnnxElements& elements, std::size_t index, TensorView view, const ElementOrder& order);

}  // namespace quantloupe
