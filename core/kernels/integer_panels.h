// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quantloupe::kernels {

/// What a weight's code takes in a panel.
enum class CodeWidth : std::uint8_t { Nibble, Byte };

/// How a matrix of weight codes [outputs × inputs] is laid out for products with integer activations.
///
/// A panel is sixteen outputs; the last is filled up with outputs whose codes are 0. Within it, groups of inputs that
/// share a scale follow each other, each filled up to whole steps of eight inputs with codes 0. A step of bytes is two
/// quads, inputs 0–3 and 4–7: of each output in turn four codes. A step of nibbles is one quad of bytes, whose low
/// halves are inputs 0–3 and whose high halves are inputs 4–7. So a vector of any width up to 64 bytes holds whole
/// outputs, as the instructions that sum products of bytes by fours want them.
struct PanelShape {
    static constexpr std::size_t outputsPerPanel = 16, inputsPerStep = 8, inputsPerQuad = 4;
    static constexpr std::size_t bytesPerQuad = outputsPerPanel * inputsPerQuad;

    std::size_t outputs = 0, inputs = 0;
    std::size_t groupLength = 0;  ///< inputs that share a scale; the last group may be shorter. @pre > 0
    CodeWidth width = CodeWidth::Byte;

    std::size_t panels() const { return (outputs + outputsPerPanel - 1) / outputsPerPanel; }
    std::size_t groups() const { return (inputs + groupLength - 1) / groupLength; }
    std::size_t lengthOf(std::size_t group) const { return std::min(groupLength, inputs - group * groupLength); }
    std::size_t stepsOf(std::size_t group) const { return (lengthOf(group) + inputsPerStep - 1) / inputsPerStep; }
    std::size_t firstStepOf(std::size_t group) const { return group == 0 ? 0 : group * stepsOf(0); }
    std::size_t stepsPerRow() const { return inputs == 0 ? 0 : firstStepOf(groups() - 1) + stepsOf(groups() - 1); }
    std::size_t bytesPerStep() const { return width == CodeWidth::Byte ? 2 * bytesPerQuad : bytesPerQuad; }
    std::size_t panelBytes() const { return stepsPerRow() * bytesPerStep(); }
    std::size_t bytes() const { return panels() * panelBytes(); }
    /// Scales, zeros and sums come panel by panel, in each group by group, in each output by output; those of outputs
    /// that fill the last panel included.
    std::size_t parameters() const { return panels() * groups() * outputsPerPanel; }
    std::size_t parameterOf(std::size_t output, std::size_t group) const
    {
        return (output / outputsPerPanel * groups() + group) * outputsPerPanel + output % outputsPerPanel;
    }

    bool operator==(const PanelShape&) const = default;
};

/// One panel of the codes of at most sixteen rows. @pre codes hold whole rows and fit the width;
/// panel.size() == panelBytes()
void packPanel(std::span<const std::uint32_t> codes, const PanelShape& shape, std::span<std::uint8_t> panel);

/// The code of one weight, from all panels.
std::uint32_t codeAt(
    std::span<const std::uint8_t> panels, const PanelShape& shape, std::size_t output, std::size_t input);

}  // namespace quantloupe::kernels
