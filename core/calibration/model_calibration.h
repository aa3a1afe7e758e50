// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/gradient_figures.h"
#include "core/calibration/input_figures.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// A text that the model was run on.
struct CalibrationText {
    std::string name;           ///< for people
    std::string identity;       ///< identityOf() its windows
    std::uint64_t tokens = 0;   ///< in its windows
    std::uint64_t context = 0;  ///< tokens in a window
    bool moments = true;        ///< whether second moments were gathered
    bool complete = false;      ///< whether all layers are in

    bool operator==(const CalibrationText&) const = default;
};

/// All that running the model on texts taught, without the large parts.
struct ModelCalibration {
    using FiguresPointer = std::shared_ptr<const InputFigures>;

    std::vector<CalibrationText> texts {};  ///< in the order in which they were added; only the last may be incomplete
    std::map<LayerName, FiguresPointer> layers {};  ///< of every layer; those with the same inputs share the figures

    /// Of the layers that a backward pass went through, each by its latest.
    std::map<LayerName, std::shared_ptr<const GradientFigures>> gradients {};

    bool isComplete() const { return !texts.empty() && texts.back().complete; }
    /// Of all complete texts.
    std::uint64_t tokens() const;
    /// Null: calibration has not seen this layer.
    const InputFigures* find(const std::string& tensor, std::optional<std::uint32_t> expert = std::nullopt) const;
    /// All inputs, each once, by the name of its first layer.
    std::vector<FiguresPointer> inputs() const;
    /// Adds the figures, in place of earlier ones of the same inputs.
    void set(const FiguresPointer& figures);
};

}  // namespace quantloupe
