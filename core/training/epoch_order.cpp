// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/epoch_order.h"

#include <numeric>
#include <utility>

namespace quantloupe {
namespace {

/// splitmix64: the same numbers everywhere.
std::uint64_t nextNumber(std::uint64_t& state)
{
    state += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
}

}  // namespace

std::vector<std::size_t> examplesOfStep(std::size_t count, std::size_t batch, std::uint64_t step, std::uint64_t seed)
{
    std::vector<std::size_t> chosen, order;
    std::uint64_t ordered = count;  // of no round
    for (std::size_t i = 0; i < batch; ++i) {
        const auto place = (step * batch) + i;
        if (const auto round = place / count; order.empty() || round != ordered) {
            ordered = round;
            order.resize(count);
            std::iota(order.begin(), order.end(), std::size_t {0});
            std::uint64_t state = seed ^ (round * 0xD1342543DE82EF95ULL);
            for (auto last = count; last > 1; --last)
                std::swap(order[last - 1], order[static_cast<std::size_t>(nextNumber(state) % last)]);
        }
        chosen.push_back(order[static_cast<std::size_t>(place % count)]);
    }
    return chosen;
}

}  // namespace quantloupe
