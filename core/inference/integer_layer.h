// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/kernels/integer_product.h"
#include "core/kernels/requantize.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// A linear layer as runtimes for integers compute it: W8A8, W4A8 and narrower. Inputs are quantized, multiplied by the
/// weights' codes with exact sums in 32 bits, corrected for both zero points in integers, and scaled once (once per
/// group of weights). The result differs from that of fake-quantized matrices by the rounding of float alone.
class IntegerLayer
{
public:
    /// For a matrix of weights [outputs × inputs], still without codes. Inputs take a grid per token, found as they
    /// come (granularity token), or `inputGrid` (granularity tensor). Errors: Unsupported (schemes other than integers
    /// of at most eight bits with integer zero points, weights by tensor, channel or group, activations by token, or by
    /// tensor with a grid; sums beyond 32 bits).
    static Result<IntegerLayer> create(const Scheme& weights, const Scheme& activations, std::size_t outputs,
        std::size_t inputs, const std::optional<UnitGrid>& inputGrid = {});

    /// The codes of rows from firstRow on, as Quantizer::encode() gives them, and the grids they were encoded by: one
    /// for each of the rows' units, or one for all. @pre every row is set once before run(); firstRow is a multiple of
    /// 16, and so is the number of rows, but for the last
    void setRows(std::size_t firstRow, std::span<const std::uint32_t> codes, std::span<const UnitGrid> grids);

    std::size_t outputs() const { return m_shape.outputs; }
    std::size_t inputs() const { return m_shape.inputs; }
    std::size_t bytes() const;  ///< of codes and constants

    /// result = quantized(inputs) · weightsᵀ for outputs [firstOutput, + result.columns), without a bias, in the
    /// caller's task arena. The bits depend neither on the number of threads nor on which tokens come together. What a
    /// stop leaves is not a result. @pre firstOutput is a multiple of outputStep
    static constexpr std::size_t outputStep = kernels::PanelShape::outputsPerPanel;
    void run(kernels::ConstMatrix inputs, std::size_t firstOutput, kernels::MutableMatrix result,
        const std::stop_token& stop) const;

    /// Codes of inputs by the layer's grid, less half their number: what runToCodes() takes. @pre granularity tensor
    std::vector<std::int8_t> encodeInputs(kernels::ConstMatrix inputs) const;
    /// From codes to codes without a floating number on the way: the outputs on a grid of eight bits, whose codes less
    /// 128 lie in [lowest, highest]. @pre the layer's inputs take one grid, and one group of weights each output
    std::vector<std::int8_t> runToCodes(std::span<const std::int8_t> codes, const UnitGrid& outputGrid, int lowest,
        int highest, const std::stop_token& stop) const;

private:
    struct Tokens;

    explicit IntegerLayer(Quantizer inputQuantizer)
        : m_inputQuantizer(std::move(inputQuantizer))
    {
    }
    kernels::IntegerWeights weights() const { return {m_shape, m_panels, m_zeros, m_sums, m_scales}; }
    Tokens quantize(kernels::ConstMatrix inputs) const;
    /// Outputs [firstOutput, + count) in pieces of a few milliseconds: each(panels, first of `count`, outputs).
    template<class Each>
    void forEachPanels(std::size_t tokens, std::size_t firstOutput, std::size_t count, const std::stop_token& stop,
        const Each& each) const;

    Quantizer m_inputQuantizer;
    std::optional<UnitGrid> m_inputGrid {};
    std::int32_t m_inputMiddle = 128;  ///< what is taken from codes so that they have a sign
    kernels::PanelShape m_shape {};
    std::vector<std::uint8_t> m_panels {};
    std::vector<std::int32_t> m_zeros {}, m_sums {};
    std::vector<float> m_scales {};
};

}  // namespace quantloupe
