// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cmath>

/// The steps of a slider, even in ratios between two positive figures: what is interesting lies near the smaller one.
struct LogScale {
    static constexpr int steps = 1000;

    double least = 0.0, most = 0.0;

    double at(int position) const
    {
        if (position >= steps || !(least > 0.0))
            return most;
        return least * std::pow(most / least, position / static_cast<double>(steps));
    }
    int positionOf(double value) const
    {
        if (!(least > 0.0) || !(most > least) || std::isnan(value))
            return 0;
        const double within = std::clamp(value, least, most);
        return static_cast<int>(std::lround(steps * std::log(within / least) / std::log(most / least)));
    }
};
