// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_panels.h"

namespace quantloupe::kernels {
namespace {

/// Where a code lies in a panel.
struct CodePlace {
    std::size_t byte = 0;
    unsigned shift = 0;
};

CodePlace placeOf(const PanelShape& shape, std::size_t output, std::size_t input)
{
    const std::size_t group = input / shape.groupLength;
    const std::size_t inGroup = input % shape.groupLength;
    const std::size_t step = shape.firstStepOf(group) + inGroup / PanelShape::inputsPerStep;
    const std::size_t quad = inGroup % PanelShape::inputsPerStep / PanelShape::inputsPerQuad;
    const std::size_t inQuad = output * PanelShape::inputsPerQuad + inGroup % PanelShape::inputsPerQuad;
    const std::size_t begin = step * shape.bytesPerStep();
    if (shape.width == CodeWidth::Nibble)
        return {begin + inQuad, quad == 0 ? 0U : 4U};
    return {begin + quad * PanelShape::bytesPerQuad + inQuad, 0U};
}

}  // namespace

void packPanel(std::span<const std::uint32_t> codes, const PanelShape& shape, std::span<std::uint8_t> panel)
{
    std::fill(panel.begin(), panel.end(), std::uint8_t {0});
    const std::size_t rows = shape.inputs == 0 ? 0 : codes.size() / shape.inputs;
    for (std::size_t output = 0; output < rows; ++output)
        for (std::size_t input = 0; input < shape.inputs; ++input) {
            const auto [byte, shift] = placeOf(shape, output, input);
            panel[byte] = static_cast<std::uint8_t>(panel[byte] | codes[output * shape.inputs + input] << shift);
        }
}

std::uint32_t codeAt(
    std::span<const std::uint8_t> panels, const PanelShape& shape, std::size_t output, std::size_t input)
{
    const auto [byte, shift] = placeOf(shape, output % PanelShape::outputsPerPanel, input);
    const std::uint32_t found = panels[output / PanelShape::outputsPerPanel * shape.panelBytes() + byte] >> shift;
    return shape.width == CodeWidth::Nibble ? found & 0xFU : found;
}

}  // namespace quantloupe::kernels
