// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_profile.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

double medianOf(std::vector<float> values)
{
    if (values.empty())
        return 0.0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return static_cast<double>(*middle);
}

std::vector<std::uint32_t> loudChannels(const InputProfile& profile)
{
    std::vector<std::uint32_t> channels;
    for (std::size_t i = 0; i < profile.absMax.size(); ++i)
        if (profile.ratio(i) > inputOutlierRatio)
            channels.push_back(static_cast<std::uint32_t>(i));
    std::stable_sort(channels.begin(), channels.end(),
        [&](std::uint32_t a, std::uint32_t b) { return profile.absMax[a] > profile.absMax[b]; });
    return channels;
}

}  // namespace

std::optional<InputProfile> inputProfileOf(const ModelCalibration& calibration, const std::string& tensor)
{
    InputProfile profile;
    std::vector<double> squares;
    TokenRanges ranges;
    for (auto layer = calibration.layers.lower_bound(LayerName {tensor});
         layer != calibration.layers.end() && layer->first.tensor == tensor; ++layer) {
        const auto& figures = *layer->second;
        if (figures.inputs.tokens == 0)
            continue;
        profile.absMax.resize(std::max(profile.absMax.size(), figures.columns()));
        squares.resize(profile.absMax.size());
        for (std::size_t i = 0; i < figures.columns(); ++i) {
            profile.absMax[i] = std::max(profile.absMax[i], figures.inputs.absMax(i));
            squares[i] += figures.inputs.squares[i];
        }
        profile.tokens += figures.inputs.tokens;
        ranges += figures.tokenRanges;
    }
    if (profile.tokens == 0)
        return std::nullopt;
    for (const double sum : squares)
        profile.rms.push_back(static_cast<float>(std::sqrt(sum / static_cast<double>(profile.tokens))));
    profile.medianAbsMax = medianOf(profile.absMax);
    profile.medianRms = medianOf(profile.rms);
    profile.usualToken = ranges.quantile(0.5);
    profile.loudToken = ranges.quantile(0.99);
    profile.outliers = loudChannels(profile);
    return profile;
}

}  // namespace quantloupe
