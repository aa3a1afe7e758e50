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

float nearestOfMap(float ratio)
{
    static const std::array<float, 256> map = makeDynamicMap();
    const auto above = std::lower_bound(map.begin(), map.end(), ratio);
    if (above == map.begin())
        return map.front();
    if (above == map.end())
        return map.back();
    const float below = *(above - 1);
    // On a midpoint the lower level, as torch's bucketize chooses.
    return ratio > (below + *above) / 2.0F ? *above : below;
}

}  // namespace

void quantizeScales(const Scheme& scheme, std::span<UnitGrid> grids)
{
    if (grids.empty())
        return;
    double sum = 0.0;
    for (const UnitGrid& grid : grids)
        sum += static_cast<double>(grid.scale);
    const auto offset = static_cast<float>(sum / static_cast<double>(grids.size()));
    const bool refactored = traitsOf(scheme.format).family == FormatFamily::SmallFloat;
    for (std::size_t begin = 0; begin < grids.size(); begin += blockLength) {
        const auto block = grids.subspan(begin, std::min(blockLength, grids.size() - begin));
        float largest = 0.0F;
        for (const UnitGrid& grid : block)
            largest = std::max(largest, std::abs(grid.scale - offset));
        for (UnitGrid& grid : block) {
            const float ratio = largest == 0.0F ? 0.0F : (grid.scale - offset) / largest;
            const float scale = nearestOfMap(ratio) * largest + offset;  // two roundings, as the original
            // A tiny scale may round to nothing, or to less; a huge one must leave room for 2¹⁶ steps.
            grid.scale = std::clamp(scale, std::numeric_limits<float>::min(), 0x1p111F);
            if (refactored)
                grid.zero = 1.0F / grid.scale;
        }
    }
}

}  // namespace quantloupe
