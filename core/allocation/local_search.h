// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/limited_classes.h"

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace quantloupe {

/// Which choices to measure next, given what those before turned out to be. @pre costs of the classes are errors
class LocalSearch
{
public:
    using Choice = std::vector<std::uint32_t>;

    /// Starts from a choice whose sum is scaled to its measured error: the first correction.
    LocalSearch(LimitedClasses limited, Choice start, double measured);

    /// The choice within the limit, not measured yet, that the corrected sum likes best; nullopt: none is left near.
    std::optional<Choice> next() const;
    /// Corrects the sum; the better of this choice and the best so far is where the search goes on from.
    void learn(const Choice& choice, double measured);

private:
    struct Move {
        std::uint32_t group = 0, option = 0;
        double weight = 0.0, error = 0.0;  ///< what it adds
    };
    std::vector<Move> movesFrom(const Choice& choice) const;
    std::optional<Choice> bestSwap() const;
    double estimate(const Choice& choice) const;
    double weightOf(const Choice& choice) const;

    LimitedClasses m_limited;  ///< its errors are corrected as measurements come
    Choice m_best;
    double m_leastError;
    std::set<Choice> m_measured {};
};

}  // namespace quantloupe
