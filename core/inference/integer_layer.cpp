// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/integer_layer.h"

#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/number_formats/integer_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace quantloupe {
namespace {

using Kind = Granularity::Kind;

/// Products of a piece of work: some milliseconds.
constexpr std::size_t kPanelProducts = std::size_t {1} << 27U;

tl::unexpected<Error> refuseIntegers(const char* what, const Scheme& scheme, std::string reason)
{
    return failure(ErrorCode::Unsupported, std::string(what) + " '" + scheme.toString() + "'", std::move(reason));
}

/// Why numbers of this scheme cannot be multiplied as 8-bit integers; empty if they can.
std::string refusalOfIntegers(const Scheme& scheme)
{
    if (!isInteger(scheme.format) || codeBits(scheme.format) > 8)
        return "only integers of at most eight bits are multiplied as integers";
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return "a floating minimum is no integer zero point: use asym";
    return {};
}

/// Largest |code − zero|.
std::int64_t largestStep(const Scheme& scheme)
{
    const std::int64_t codes = std::int64_t {1} << static_cast<unsigned>(codeBits(scheme.format));
    return scheme.symmetry == Symmetry::Asymmetric ? codes - 1 : codes / 2;
}

}  // namespace

/// Quantized inputs, with the memory that they lie in.
struct IntegerLayer::Tokens {
    std::vector<std::int8_t> codes {};
    std::vector<std::int32_t> zeros {};
    std::vector<float> scales {};
    std::vector<std::int32_t> packed {}, sums {};
    kernels::PackedTokens view {};

    void pack(const kernels::PanelShape& shape)
    {
        const auto tiles = kernels::bestTiles(shape.width);
        packed.resize(kernels::PackedTokens::packedSize(zeros.size(), shape, tiles));
        sums.resize(zeros.size() * shape.groups());
        view = kernels::packTokens({zeros.size(), codes, zeros, scales}, shape, tiles, packed, sums);
    }
};

Result<IntegerLayer> IntegerLayer::create(const Scheme& weights, const Scheme& activations, std::size_t outputs,
    std::size_t inputs, const std::optional<UnitGrid>& inputGrid)
{
    if (auto refusal = refusalOfIntegers(weights); !refusal.empty())
        return refuseIntegers("weights", weights, std::move(refusal));
    if (weights.granularity.kind == Kind::Block)
        return refuseIntegers("weights", weights, "blocks span several outputs: use tensor, channel or gN");
    if (auto refusal = refusalOfIntegers(activations); !refusal.empty())
        return refuseIntegers("activations", activations, std::move(refusal));
    const auto kind = activations.granularity.kind;
    if (kind != Kind::Token && !(kind == Kind::Tensor && inputGrid))
        return refuseIntegers("activations", activations,
            "integer sums need one scale per token, or one of the whole tensor that is known beforehand");
    Scheme perRow = activations;  // a token is a row
    perRow.granularity = {.kind = kind == Kind::Token ? Kind::Channel : Kind::Tensor};
    auto quantizer = Quantizer::create(perRow, inputs);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    IntegerLayer layer(std::move(*quantizer));
    if (kind == Kind::Tensor)
        layer.m_inputGrid = inputGrid;
    layer.m_inputMiddle = std::int32_t {1} << (static_cast<unsigned>(codeBits(activations.format)) - 1U);
    const bool grouped = weights.granularity.kind == Kind::Group;
    const auto group = grouped ? std::min<std::size_t>(weights.granularity.columns, inputs) : inputs;
    layer.m_shape = {.outputs = outputs,
        .inputs = inputs,
        .groupLength = std::max<std::size_t>(group, 1),
        .width = codeBits(weights.format) <= 4 ? kernels::CodeWidth::Nibble : kernels::CodeWidth::Byte};
    const auto most = std::numeric_limits<std::int32_t>::max() / (largestStep(weights) * largestStep(activations));
    if (layer.m_shape.groupLength > std::min(static_cast<std::size_t>(most), kernels::mostProductInputs))
        return refuseIntegers("weights", weights,
            "sums of " + std::to_string(layer.m_shape.groupLength) + " products may exceed 32 bits: use groups");
    layer.m_panels.resize(layer.m_shape.bytes());
    layer.m_zeros.resize(layer.m_shape.parameters());
    layer.m_sums.resize(layer.m_shape.parameters());
    layer.m_scales.resize(layer.m_shape.parameters());
    return layer;
}

std::size_t IntegerLayer::bytes() const
{
    return m_panels.size() + m_zeros.size() * (sizeof m_zeros[0] + sizeof m_sums[0] + sizeof m_scales[0]);
}

void IntegerLayer::setRows(std::size_t firstRow, std::span<const std::uint32_t> codes, std::span<const UnitGrid> grids)
{
    const auto& shape = m_shape;
    const auto rows = shape.inputs == 0 ? 0 : codes.size() / shape.inputs;
    for (std::size_t row = 0; row < rows; row += outputStep) {
        const auto panel = (firstRow + row) / outputStep;
        const auto count = std::min(outputStep, rows - row);
        kernels::packPanel(codes.subspan(row * shape.inputs, count * shape.inputs), shape,
            std::span(m_panels).subspan(panel * shape.panelBytes(), shape.panelBytes()));
    }
    for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t group = 0; group < shape.groups(); ++group) {
            const auto& grid = grids[grids.size() == 1 ? 0 : row * shape.groups() + group];
            const auto at = shape.parameterOf(firstRow + row, group);
            const auto zero = static_cast<std::int32_t>(grid.zero);
            std::int32_t sum = 0;
            for (const auto code : codes.subspan(row * shape.inputs + group * shape.groupLength, shape.lengthOf(group)))
                sum += static_cast<std::int32_t>(code) - zero;
            m_zeros[at] = zero;
            m_sums[at] = sum;
            m_scales[at] = grid.scale;
        }
}

IntegerLayer::Tokens IntegerLayer::quantize(kernels::ConstMatrix inputs) const
{
    Tokens tokens;
    const auto columns = inputs.columns;
    tokens.codes.resize(inputs.rows * columns);
    std::vector<std::uint32_t> codes(columns);
    for (std::size_t row = 0; row < inputs.rows; ++row) {
        const std::span<const float> values(inputs.row(row), columns);
        UnitGrid grid = m_inputGrid.value_or(UnitGrid());
        if (!m_inputGrid)
            m_inputQuantizer.fit(values, 1, {&grid, 1});
        m_inputQuantizer.encode(values, 1, {&grid, 1}, codes);
        for (std::size_t i = 0; i < columns; ++i)
            tokens.codes[row * columns + i] =
                static_cast<std::int8_t>(static_cast<std::int32_t>(codes[i]) - m_inputMiddle);
        tokens.zeros.push_back(static_cast<std::int32_t>(grid.zero) - m_inputMiddle);
        // What is not finite has no code: it must be noticed in the outputs.
        tokens.scales.push_back(allFinite(values) ? grid.scale : std::numeric_limits<float>::quiet_NaN());
    }
    return tokens;
}

template<class Each>
void IntegerLayer::forEachPanels(
    std::size_t tokens, std::size_t firstOutput, std::size_t count, const std::stop_token& stop, const Each& each) const
{
    const auto products = std::max<std::size_t>(1, tokens * m_shape.inputs * outputStep);
    const auto step = std::max<std::size_t>(1, kPanelProducts / products) * outputStep;
    forEachPiece((count + step - 1) / step, stop, [&](std::size_t piece) {
        const auto begin = piece * step;
        const auto outputs = std::min(step, count - begin);
        each(kernels::PanelRange {(firstOutput + begin) / outputStep, (outputs + outputStep - 1) / outputStep}, begin,
            outputs);
    });
}

void IntegerLayer::run(kernels::ConstMatrix inputs, std::size_t firstOutput, kernels::MutableMatrix result,
    const std::stop_token& stop) const
{
    auto tokens = quantize(inputs);
    tokens.pack(m_shape);
    forEachPanels(inputs.rows, firstOutput, result.columns, stop,
        [&](kernels::PanelRange range, std::size_t column, std::size_t count) {
            kernels::scaledIntegerProduct(tokens.view, weights(), range, result.columnRange(column, count));
        });
}

std::vector<std::int8_t> IntegerLayer::encodeInputs(kernels::ConstMatrix inputs) const
{
    return quantize(inputs).codes;
}

std::vector<std::int8_t> IntegerLayer::runToCodes(std::span<const std::int8_t> codes, const UnitGrid& outputGrid,
    int lowest, int highest, const std::stop_token& stop) const
{
    const auto count = codes.size() / m_shape.inputs;
    Tokens tokens;
    tokens.codes.assign(codes.begin(), codes.end());
    tokens.zeros.assign(count, static_cast<std::int32_t>(m_inputGrid->zero) - m_inputMiddle);
    tokens.scales.assign(count, m_inputGrid->scale);
    tokens.pack(m_shape);
    std::vector<kernels::FixedPointFactor> factors;
    for (std::size_t output = 0; output < m_shape.outputs; ++output)
        factors.push_back(kernels::fixedPointFactor(static_cast<double>(m_inputGrid->scale)
            * static_cast<double>(m_scales[m_shape.parameterOf(output, 0)]) / static_cast<double>(outputGrid.scale)));
    std::vector<std::int32_t> sums(count * m_shape.outputs);
    const kernels::Matrix<std::int32_t> matrix {sums.data(), count, m_shape.outputs, m_shape.outputs};
    forEachPanels(
        count, 0, m_shape.outputs, stop, [&](kernels::PanelRange range, std::size_t column, std::size_t outputs) {
            kernels::integerProduct(tokens.view, weights(), range, matrix.columnRange(column, outputs));
        });
    std::vector<std::int8_t> result(sums.size());
    kernels::requantize(matrix,
        {.factors = factors,
            .zero = static_cast<std::int32_t>(outputGrid.zero) - 128,
            .lowest = lowest,
            .highest = highest},
        result);
    return result;
}

}  // namespace quantloupe
