// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantloupe {

/// What gives an output channel back the mean and the spread that quantization changed: ŵ′ = scale·ŵ + shift.
struct ChannelCorrection {
    float scale = 1.0F;
    float shift = 0.0F;
    bool operator==(const ChannelCorrection&) const = default;
};

/// The correction that needs no data (Banner et al. 2019, arXiv 1810.05723): scale = ‖w − E w‖ / ‖ŵ − E ŵ‖ over the
/// channel, and a shift after which the means agree, shift = E w − scale·E ŵ. (The paper shifts by E w − E ŵ before it
/// scales, which leaves a mean error of (scale − 1)·E w; here there is none.) Scale is 1 where ŵ or w does not vary.
/// Weights that are not finite take no part. Sums in double: weight i in lane i mod 8, lanes from 0 to 7.
/// row, quantized: one output channel, equally long.
ChannelCorrection channelCorrection(std::span<const float> row, std::span<const float> quantized);

/// quantized[i] = scale·quantized[i] + shift, product and sum rounded one by one; never −0.
void applyCorrection(const ChannelCorrection& correction, std::span<float> quantized);

/// What is to be added to a layer's bias so that its mean output stays, given the mean of its inputs: (W − Ŵ)·E x.
/// E x comes from running the model on text. errors: W − Ŵ, whole rows as long as meanInput. Sums in double, in index
/// order. Source: Nagel et al. 2019, arXiv 1906.04721.
std::vector<float> biasOf(std::span<const float> errors, std::span<const float> meanInput);

}  // namespace quantloupe
