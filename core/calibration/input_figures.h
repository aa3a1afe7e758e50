// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/channel_sums.h"
#include "core/calibration/token_ranges.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// A linear layer by the tensor that it multiplies by.
struct LayerName {
    std::string tensor;
    std::optional<std::uint32_t> expert {};  ///< which matrix of a tensor that is a stack of experts

    /// "model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down_exps.weight[3]".
    std::string text() const;
    auto operator<=>(const LayerName&) const = default;
};

struct LayerOutputs {
    LayerName layer;
    ChannelSums sums;  ///< of y = W·x + b

    bool operator==(const LayerOutputs&) const = default;
};

/// What was known when about half of the tokens had been seen, or before the last text was: how much the figures have
/// moved since says how much they still will.
struct EarlierFigures {
    std::uint64_t tokens = 0;
    std::vector<double> squares {};  ///< Σ x² by channel; empty without tokens
    std::vector<float> absMax {};    ///< by channel; empty without tokens

    bool operator==(const EarlierFigures&) const = default;
};

/// A file beside the study that holds the large parts. Empty name: there is none.
struct InputFileReference {
    std::string name;
    std::uint64_t bytes = 0;
    std::string checksum {};  ///< XXH3-128

    bool operator==(const InputFileReference&) const = default;
};

/// What running a model on text taught about inputs that one or several linear layers read, without the large parts.
struct InputFigures {
    std::vector<LayerOutputs> layers;  ///< that read these inputs, in the order of the operations; at least one
    std::uint64_t texts = 0;           ///< how many of the calibration's texts are in here, the first ones
    ChannelSums inputs {};
    TokenRanges tokenRanges {};
    EarlierFigures earlier {};
    InputFileReference file {};

    /// Name of the first layer.
    std::string key() const { return layers.front().layer.text(); }
    std::size_t columns() const { return inputs.channels(); }
    bool operator==(const InputFigures&) const = default;
};

/// Whether there is a layer, and all arrays are as long as they must be.
bool isWhole(const InputFigures& figures);

/// Adds what another text taught about the same inputs; what was known so far becomes the earlier figures.
/// `texts` and `file` stay. False: they are not of the same layers and widths, nothing was changed.
bool addFigures(InputFigures& figures, const InputFigures& more);

}  // namespace quantloupe
