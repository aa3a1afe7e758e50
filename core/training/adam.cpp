// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/adam.h"

#include <cmath>
#include <numbers>

namespace quantloupe {

void AdamState::update(std::span<float> parameters, std::span<const float> gradient, double rate, double decay,
    std::uint64_t step, const AdamSettings& settings)
{
    first.resize(parameters.size());
    second.resize(parameters.size());
    const double firstBias = 1.0 - std::pow(settings.firstDecay, static_cast<double>(step));
    const double secondBias = 1.0 - std::pow(settings.secondDecay, static_cast<double>(step));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto g = static_cast<double>(gradient[i]);
        const double mean = (settings.firstDecay * static_cast<double>(first[i])) + ((1.0 - settings.firstDecay) * g);
        const double square =
            (settings.secondDecay * static_cast<double>(second[i])) + ((1.0 - settings.secondDecay) * g * g);
        first[i] = static_cast<float>(mean);
        second[i] = static_cast<float>(square);
        const auto value = static_cast<double>(parameters[i]);
        const double move = (mean / firstBias) / (std::sqrt(square / secondBias) + settings.epsilon);
        parameters[i] = static_cast<float>(value - (rate * (move + (decay * value))));
    }
}

double scheduledRate(double highest, std::uint64_t step, std::uint64_t steps, std::uint64_t warmUp)
{
    if (step < warmUp)
        return highest * static_cast<double>(step + 1) / static_cast<double>(warmUp);
    const auto left = steps > warmUp ? static_cast<double>(steps - warmUp) : 1.0;
    return highest * 0.5 * (1.0 + std::cos(std::numbers::pi * static_cast<double>(step - warmUp) / left));
}

}  // namespace quantloupe
