// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_figures.h"

#include <algorithm>

namespace quantloupe {

std::string LayerName::text() const
{
    return expert ? tensor + "[" + std::to_string(*expert) + "]" : tensor;
}

bool isWhole(const InputFigures& figures)
{
    const auto fits = [](const ChannelSums& sums) {
        const auto size = sums.channels();
        return sums.squares.size() == size && sums.minimum.size() == size && sums.maximum.size() == size;
    };
    const auto& [tokens, squares, absMax] = figures.earlier;
    const auto earlier = tokens == 0 ? 0 : figures.columns();
    return !figures.layers.empty() && figures.columns() > 0 && fits(figures.inputs)
        && figures.inputs.absSum.size() == figures.columns() && figures.inputs.active.size() == figures.columns()
        && squares.size() == earlier && absMax.size() == earlier
        && std::all_of(figures.layers.begin(), figures.layers.end(),
            [&](const LayerOutputs& outputs) { return fits(outputs.sums); });
}

bool addFigures(InputFigures& figures, const InputFigures& more)
{
    const auto same = [](const LayerOutputs& a, const LayerOutputs& b) {
        return a.layer == b.layer && a.sums.channels() == b.sums.channels();
    };
    if (figures.columns() != more.columns()
        || !std::equal(figures.layers.begin(), figures.layers.end(), more.layers.begin(), more.layers.end(), same))
        return false;
    if (more.inputs.tokens == 0)
        return true;
    if (figures.inputs.tokens == 0)
        figures.earlier = more.earlier;
    else
        figures.earlier = {figures.inputs.tokens, figures.inputs.squares, figures.inputs.absMax()};
    figures.inputs += more.inputs;
    figures.tokenRanges += more.tokenRanges;
    for (std::size_t i = 0; i < figures.layers.size(); ++i)
        figures.layers[i].sums += more.layers[i].sums;
    return true;
}

}  // namespace quantloupe
