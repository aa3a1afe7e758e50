// SPDX-License-Identifier: GPL-3.0-or-later
// Which experts of a mixture a token goes to. For use inside this room.
#pragma once

#include <cstddef>
#include <span>

namespace quantloupe {

/// One expert, and how much it counts.
struct Route {
    std::size_t expert = 0;
    float weight = 0.0F;
};

/// The likeliest experts of one token, routes.size() of them; of equal ones the first. `scores` become the
/// probabilities of all. `normalizes`: the weights of the chosen add up to 1.
void chooseExperts(std::span<float> scores, bool normalizes, std::span<Route> routes);

}  // namespace quantloupe
