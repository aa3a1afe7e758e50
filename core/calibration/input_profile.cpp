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

/// Of several experts, as if all their tokens had gone into one layer.
class InputsTogether
{
public:
    void add(const InputFigures& figures)
    {
        if (figures.inputs.tokens == 0)
            return;
        m_profile.absMax.resize(std::max(m_profile.absMax.size(), figures.columns()));
        m_squares.resize(m_profile.absMax.size());
        for (std::size_t i = 0; i < figures.columns(); ++i) {
            m_profile.absMax[i] = std::max(m_profile.absMax[i], figures.inputs.absMax(i));
            m_squares[i] += figures.inputs.squares[i];
        }
        m_profile.tokens += figures.inputs.tokens;
        m_ranges += figures.tokenRanges;
    }

    std::optional<InputProfile> profile() &&
    {
        if (m_profile.tokens == 0)
            return std::nullopt;
        for (const double sum : m_squares)
            m_profile.rms.push_back(static_cast<float>(std::sqrt(sum / static_cast<double>(m_profile.tokens))));
        m_profile.medianAbsMax = medianOf(m_profile.absMax);
        m_profile.medianRms = medianOf(m_profile.rms);
        m_profile.usualToken = m_ranges.quantile(0.5);
        m_profile.loudToken = m_ranges.quantile(0.99);
        m_profile.outliers = loudChannels(m_profile);
        return std::move(m_profile);
    }

private:
    InputProfile m_profile;
    std::vector<double> m_squares;
    TokenRanges m_ranges;
};

}  // namespace

std::optional<InputProfile> inputProfileOf(const ModelCalibration& calibration, const std::string& tensor)
{
    InputsTogether together;
    for (auto layer = calibration.layers.lower_bound(LayerName {tensor});
         layer != calibration.layers.end() && layer->first.tensor == tensor; ++layer)
        together.add(*layer->second);
    return std::move(together).profile();
}

std::optional<InputProfile> inputProfileOf(const InputFigures& figures)
{
    InputsTogether together;
    together.add(figures);
    return std::move(together).profile();
}

}  // namespace quantloupe
