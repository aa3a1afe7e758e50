// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_quality.h"

#include <cmath>
#include <limits>

namespace quantloupe {

InputQuality qualityOf(const InputFigures& figures)
{
    const auto& [tokens, sum, squares, minimum, maximum, absSum, active] = figures.inputs;
    const auto& earlier = figures.earlier;
    InputQuality quality {.fewTokens = tokens < figures.columns()};
    double squaresMoved = 0.0, allSquares = 0.0, absMaxMoved = 0.0, allAbsMax = 0.0;
    for (std::size_t i = 0; i < figures.columns(); ++i) {
        if (active[i] == 0)
            quality.silentChannels.push_back(i);
        else if (active[i] * 100 < tokens)
            quality.rareChannels.push_back(i);
        if (earlier.tokens == 0)
            continue;
        const double now = squares[i] / static_cast<double>(tokens);
        squaresMoved += std::abs(earlier.squares[i] / static_cast<double>(earlier.tokens) - now);
        allSquares += now;
        const double largest = figures.inputs.absMax(i);
        absMaxMoved += std::abs(static_cast<double>(earlier.absMax[i]) - largest);
        allAbsMax += largest;
    }
    constexpr auto unknown = std::numeric_limits<double>::quiet_NaN();
    quality.squaresMoved = allSquares > 0.0 ? squaresMoved / allSquares : unknown;
    quality.absMaxMoved = allAbsMax > 0.0 ? absMaxMoved / allAbsMax : unknown;
    return quality;
}

}  // namespace quantloupe
