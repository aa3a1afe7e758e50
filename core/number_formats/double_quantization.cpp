// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/double_quantization.h"

#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::size_t blockLength = 256;

// 2ⁱ means of neighbours among 2ⁱ + 1 points from 0.1 to 1, times 10^(i−6), i = 0 … 6, both signs; 0 and 1.
std::array<float, 256> makeDynamicMap()
{
    std::array<float, 256> map {};
    std::size_t at = 0;
    for (int i = 0; i < 7; ++i) {
        const int intervals = 1 << i;
        const double step = 0.9 / intervals;
        const double scale = std::pow(10.0, i - 6);
        for (int k = 0; k < intervals; ++k) {
            const auto low = static_cast<float>(0.1 + k * step);
            const auto high = static_cast<float>(k + 1 == intervals ? 1.0 : 0.1 + (k + 1) * step);
            const auto value = static_cast<float>(static_cast<double>((low + high) / 2.0F) * scale);
            map[at++] = value;
            map[at++] = -value;
        }
    }
    map[at++] = 0.0F;
    map[at++] = 1.0F;
    std::sort(map.begin(), map.end());
    return map;
}

const std::array<float, 256>& dynamicMap()
{
    static const std::array<float, 256> map = makeDynamicMap();
    return map;
}

std::uint8_t nearestOfMap(float ratio)
{
    const auto& map = dynamicMap();
    const auto above = static_cast<std::size_t>(std::lower_bound(map.begin(), map.end(), ratio) - map.begin());
    if (above == 0 || above == map.size())
        return static_cast<std::uint8_t>(above == 0 ? 0 : map.size() - 1);
    // On a midpoint the lower level, as torch's bucketize chooses.
    const bool isAbove = ratio > (map[above - 1] + map[above]) / 2.0F;
    return static_cast<std::uint8_t>(isAbove ? above : above - 1);
}

}  // namespace

float DoubleQuantizedScales::scaleAt(std::size_t unit) const
{
    const float scale = dynamicMap()[codes[unit]] * blockScales[unit / blockLength] + offset;  // two roundings
    // A tiny scale may round to nothing, or to less; a huge one must leave room for 2¹⁶ steps.
    return std::clamp(scale, std::numeric_limits<float>::min(), 0x1p111F);
}

DoubleQuantizedScales doubleQuantize(std::span<const UnitGrid> grids)
{
    DoubleQuantizedScales stored;
    if (grids.empty())
        return stored;
    double sum = 0.0;
    for (const UnitGrid& grid : grids)
        sum += static_cast<double>(grid.scale);
    stored.offset = static_cast<float>(sum / static_cast<double>(grids.size()));
    for (std::size_t begin = 0; begin < grids.size(); begin += blockLength) {
        const auto block = grids.subspan(begin, std::min(blockLength, grids.size() - begin));
        float largest = 0.0F;
        for (const UnitGrid& grid : block)
            largest = std::max(largest, std::abs(grid.scale - stored.offset));
        stored.blockScales.push_back(largest);
        for (const UnitGrid& grid : block)
            stored.codes.push_back(nearestOfMap(largest == 0.0F ? 0.0F : (grid.scale - stored.offset) / largest));
    }
    return stored;
}

void quantizeScales(const Scheme& scheme, std::span<UnitGrid> grids)
{
    const DoubleQuantizedScales stored = doubleQuantize(grids);
    const bool refactored = traitsOf(scheme.format).family == FormatFamily::SmallFloat;
    for (std::size_t unit = 0; unit < grids.size(); ++unit) {
        grids[unit].scale = stored.scaleAt(unit);
        if (refactored)
            grids[unit].zero = 1.0F / grids[unit].scale;
    }
}

}  // namespace quantloupe
