// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/routing.h"

#include "core/kernels/exponentials.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace quantloupe {

void chooseExperts(std::span<float> scores, bool normalizes, std::span<Route> routes)
{
    kernels::softmax(scores);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(routes.size()), order.end(),
        [&](std::size_t a, std::size_t b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); });
    float sum = 0.0F;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        routes[i] = {order[i], scores[order[i]]};
        sum += routes[i].weight;
    }
    if (normalizes)
        for (auto& route : routes)
            route.weight /= sum;
}

}  // namespace quantloupe
