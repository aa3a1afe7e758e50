// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/number_formats/quantized_tensor.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace quantloupe {

/// The codes that a training has found for one matrix: those that its quantizer gives for the trained weights on the
/// trained grids. Borrows all three.
class LearnedTensor final : public QuantizedTensor
{
public:
    LearnedTensor(const Quantizer& quantizer, std::span<const UnitGrid> grids, std::span<const float> weights)
        : m_quantizer(quantizer)
        , m_grids(grids)
        , m_weights(weights)
    {
    }
    const Quantizer& quantizer() const override { return m_quantizer; }
    bool hasCodes() const override { return true; }
    void quantize(std::uint64_t firstRow, std::size_t rowCount, QuantizedRows& rows) const override;

private:
    const Quantizer& m_quantizer;
    std::span<const UnitGrid> m_grids;
    std::span<const float> m_weights;
};

/// A linear layer as training left it. Its codes, and what they stand for, are those of tensor().
struct TrainedLayer {
    Quantizer quantizer;
    std::size_t rows = 0;
    std::vector<float> weights {};   ///< trained, not rounded; rows × columns
    std::vector<UnitGrid> grids {};  ///< as stored; empty for formats without

    /// Borrows the layer.
    LearnedTensor tensor() const { return {quantizer, grids, weights}; }
    /// All of Ŵ and, where the format has grids, all codes.
    QuantizedRows quantized() const;
};

}  // namespace quantloupe
