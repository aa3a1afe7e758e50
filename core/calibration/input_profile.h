// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/model_calibration.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// A channel louder than so many times the median one is called an outlier: under one scale for all channels of a token
/// it leaves the median channel 127 / 6 = 21 of int8's steps.
constexpr double inputOutlierRatio = 6.0;

/// What goes into a layer, as a person looks at it: how loud each channel gets, and which ones decide the scales.
struct InputProfile {
    std::uint64_t tokens = 0;
    std::vector<float> absMax {};  ///< largest |x| of each channel
    std::vector<float> rms {};     ///< √(E x²) of each channel
    double medianAbsMax = 0.0;     ///< over channels
    double medianRms = 0.0;
    std::vector<std::uint32_t> outliers {};  ///< channels over inputOutlierRatio × medianAbsMax, loudest first
    double usualToken = 0.0;                 ///< largest |x| of a token: what half of them do not exceed, within 2 %
    double loudToken = 0.0;                  ///< the same of 99 %

    /// How many times the median a channel gets; 0 where there is no median.
    double ratio(std::size_t channel) const
    {
        return medianAbsMax > 0.0 ? static_cast<double>(absMax[channel]) / medianAbsMax : 0.0;
    }
    /// Of int8 with one scale for each token: how many of its 127 steps the RMS of a median channel is, at a usual
    /// token. Few steps are what breaks W8A8. 0 where nothing is known.
    double stepsOfUsualChannel() const { return usualToken > 0.0 ? 127.0 * medianRms / usualToken : 0.0; }
    bool operator==(const InputProfile&) const = default;
};

/// Of all layers whose weights lie in a tensor: one, or the experts of a stack, whose tokens are taken together.
/// Nothing where calibration saw no token of them.
std::optional<InputProfile> inputProfileOf(const ModelCalibration& calibration, const std::string& tensor);
/// Of these inputs alone.
std::optional<InputProfile> inputProfileOf(const InputFigures& figures);

}  // namespace quantloupe
