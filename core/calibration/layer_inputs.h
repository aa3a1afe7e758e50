// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// What running a model on text taught about the inputs x of one linear layer y = W·x, or of several that read the
/// same inputs (q, k and v; gate and up). Plain data; whoever does not need a part leaves it empty.
struct LayerInputs {
    std::size_t columns = 0;               ///< input channels
    std::uint64_t tokens = 0;              ///< how many x were seen
    std::vector<double> secondMoments {};  ///< Σ x·xᵀ over the tokens, columns × columns, symmetric
    std::vector<float> mean {};            ///< E x, one per channel
    std::vector<float> absMean {};         ///< E |x|
    std::vector<float> absMax {};          ///< max |x|
    std::vector<float> sample {};          ///< some of the x, row-major, tokens of the sample × columns

    std::size_t sampleTokens() const { return columns == 0 ? 0 : sample.size() / columns; }
    bool operator==(const LayerInputs&) const = default;
};

/// Whether every part is empty or as large as it says, finite, and the moments are those of something: symmetric
/// (within 1e-4 of their channels' own) with a diagonal ≥ 0. Works on the threads of the caller's arena.
/// Errors: InvalidArgument, naming the part; Cancelled.
Result<void> checkLayerInputs(const LayerInputs& inputs, const std::stop_token& stop = {});

/// E x² of each channel, the diagonal of the moments: what rounding errors in each column weigh. One per channel.
/// @pre the moments are there, tokens > 0
std::vector<float> meanSquares(const LayerInputs& inputs);

}  // namespace quantloupe
