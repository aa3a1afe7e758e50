// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/adam.h"

#include "core/kernels/adam_update.h"

#include <cmath>
#include <numbers>

namespace quantloupe {

void AdamState::update(std::span<float> parameters, std::span<const float> gradient, double rate, double decay,
    std::uint64_t step, const AdamSettings& settings)
{
    first.resize(parameters.size());
    second.resize(parameters.size());
    kernels::adamUpdate(parameters, gradient, first, second,
        {.firstDecay = settings.firstDecay,
            .secondDecay = settings.secondDecay,
            .epsilon = settings.epsilon,
            .firstBias = 1.0 - std::pow(settings.firstDecay, static_cast<double>(step)),
            .secondBias = 1.0 - std::pow(settings.secondDecay, static_cast<double>(step)),
            .rate = rate,
            .weightDecay = decay});
}

double scheduledRate(double highest, std::uint64_t step, std::uint64_t steps, std::uint64_t warmUp)
{
    if (step < warmUp)
        return highest * static_cast<double>(step + 1) / static_cast<double>(warmUp);
    const auto left = steps > warmUp ? static_cast<double>(steps - warmUp) : 1.0;
    return highest * 0.5 * (1.0 + std::cos(std::numbers::pi * static_cast<double>(step - warmUp) / left));
}

}  // namespace quantloupe
