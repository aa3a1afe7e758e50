// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/input_replacement.h"

#include "core/inference/pieces.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

void replaceHeads(const CacheReplacer& replacer, kernels::MutableMatrix heads)
{
    std::vector<float> tight(heads.rows * heads.columns);
    for (std::size_t row = 0; row < heads.rows; ++row)
        std::copy_n(heads.row(row), heads.columns, tight.data() + row * heads.columns);
    replacer(tight);
    for (std::size_t row = 0; row < heads.rows; ++row)
        std::copy_n(tight.data() + row * heads.columns, heads.columns, heads.row(row));
}

bool needsRange(const InputReplacers& replacers, std::span<const LinearLayer> layers)
{
    return std::any_of(layers.begin(), layers.end(), [&](const LinearLayer& layer) {
        const auto found = replacers.find(layer.tensor);
        return found != replacers.end() && found->second->needsRange;
    });
}

void widen(kernels::FiniteRange& range, const kernels::FiniteRange& other)
{
    range.minimum = std::min(range.minimum, other.minimum);
    range.maximum = std::max(range.maximum, other.maximum);
}

void widen(kernels::FiniteRange& range, kernels::ConstMatrix rows)
{
    for (std::size_t row = 0; row < rows.rows; ++row)
        widen(range, kernels::rangeOf({rows.row(row), rows.columns}));
}

CallRanges measureRanges(std::span<const TokenTile> tiles, const std::stop_token& stop,
    const std::function<kernels::ConstMatrix(const TokenTile& tile, std::vector<float>& buffer)>& inputsOf)
{
    std::vector<kernels::FiniteRange> ofTiles(tiles.size());
    forEachPiece(tiles.size(), stop, [&](std::size_t i) {
        std::vector<float> buffer;
        const auto inputs = inputsOf(tiles[i], buffer);
        widen(ofTiles[i], inputs);
    });
    CallRanges ranges(tiles.empty() ? 0 : tiles.back().call + 1);
    for (std::size_t i = 0; i < tiles.size(); ++i)
        widen(ranges[tiles[i].call], ofTiles[i]);
    return ranges;
}

}  // namespace quantloupe
