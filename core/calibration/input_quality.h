// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/input_figures.h"

#include <cstddef>
#include <vector>

namespace quantloupe {

/// How far the figures of some inputs can be trusted.
struct InputQuality {
    /// Σ |a − b| / Σ b over the channels, a being E x² of the earlier figures and b that of all tokens: how much the
    /// moments still move. NaN where there is nothing earlier.
    double squaresMoved = 0.0;
    double absMaxMoved = 0.0;                    ///< the same of the largest |x|
    std::vector<std::size_t> silentChannels {};  ///< active at no token (ChannelSums::active)
    std::vector<std::size_t> rareChannels {};    ///< active at some, but less than a hundredth of all tokens
    bool fewTokens = false;                      ///< fewer than channels: the second moments cannot have full rank
};

InputQuality qualityOf(const InputFigures& figures);

}  // namespace quantloupe
