// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/channel_sums.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace quantloupe {
namespace {

/// Half a step of int8 with restricted range, as a share of the largest |x|.
constexpr float kHalfStep = 1.0F / 254.0F;

template<class Number, class Operation>
void combine(std::vector<Number>& into, const std::vector<Number>& more, const Operation& operation)
{
    std::transform(into.begin(), into.end(), more.begin(), into.begin(), operation);
}

}  // namespace

ChannelSums ChannelSums::ofOutputs(std::size_t channels)
{
    return {.sum = std::vector<double>(channels),
        .squares = std::vector<double>(channels),
        .minimum = std::vector<float>(channels, std::numeric_limits<float>::infinity()),
        .maximum = std::vector<float>(channels, -std::numeric_limits<float>::infinity())};
}

ChannelSums ChannelSums::ofInputs(std::size_t channels)
{
    auto sums = ofOutputs(channels);
    sums.absSum.resize(channels);
    sums.active.resize(channels);
    return sums;
}

float ChannelSums::absMax(std::size_t channel) const
{
    return std::max({0.0F, -minimum[channel], maximum[channel]});
}

std::vector<float> ChannelSums::absMax() const
{
    std::vector<float> values(channels());
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = absMax(i);
    return values;
}

float ChannelSums::absMaxOfAll() const
{
    const auto all = absMax();
    return all.empty() ? 0.0F : *std::max_element(all.begin(), all.end());
}

void ChannelSums::add(kernels::ConstMatrix rows)
{
    tokens += rows.rows;
    for (std::size_t token = 0; token < rows.rows; ++token) {
        const float* x = rows.row(token);
        for (std::size_t i = 0; i < rows.columns; ++i) {
            const double wide = x[i];
            sum[i] += wide;
            squares[i] += wide * wide;
            minimum[i] = std::min(minimum[i], x[i]);
            maximum[i] = std::max(maximum[i], x[i]);
        }
        if (absSum.empty())
            continue;
        float largest = 0.0F;
        for (std::size_t i = 0; i < rows.columns; ++i)
            largest = std::max(largest, std::abs(x[i]));
        const float threshold = largest * kHalfStep;
        for (std::size_t i = 0; i < rows.columns; ++i) {
            const float size = std::abs(x[i]);
            absSum[i] += static_cast<double>(size);
            active[i] += size > threshold ? 1U : 0U;
        }
    }
}

ChannelSums& ChannelSums::operator+=(const ChannelSums& more)
{
    tokens += more.tokens;
    combine(sum, more.sum, std::plus());
    combine(squares, more.squares, std::plus());
    combine(absSum, more.absSum, std::plus());
    combine(active, more.active, std::plus());
    combine(minimum, more.minimum, [](float a, float b) { return std::min(a, b); });
    combine(maximum, more.maximum, [](float a, float b) { return std::max(a, b); });
    return *this;
}

}  // namespace quantloupe
