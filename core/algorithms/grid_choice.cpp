// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/grid_choice.h"

#include "core/algorithms/combinations.h"
#include "core/algorithms/hqq.h"
#include "core/algorithms/row_blocks.h"
#include "core/algorithms/row_panel.h"
#include "core/kernels/least_squares_grid.h"
#include "core/kernels/ranges.h"
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/integer_codes.h"
#include "core/number_formats/tensor_range_search.h"

#include <cmath>
#include <numeric>

namespace quantloupe {
namespace {

/// Adds up the parts of all blocks of rows, in their order.
template<class Search>
bool passOver(Search& search, std::span<const float> weights, std::size_t rowCount, std::size_t columns,
    const std::stop_token& stop)
{
    std::vector<typename Search::Partial> parts((rowCount + rowsPerBlock - 1) / rowsPerBlock, search.emptyPartial());
    if (!forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
            search.add(parts[first / rowsPerBlock], weights.subspan(first * columns, count * columns));
        }))
        return false;
    auto total = search.emptyPartial();
    for (const auto& part : parts)
        total += part;
    search.finishPass(total);
    return true;
}

std::vector<UnitGrid> gridOfTensor(
    const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount, const std::stop_token& stop)
{
    const kernels::FiniteRange range = kernels::rangeOf(weights);
    const auto finite = static_cast<std::uint64_t>(
        std::count_if(weights.begin(), weights.end(), [](float w) { return std::isfinite(w); }));
    TensorRangeSearch search(quantizer, range.minimum, range.maximum, finite);
    while (search.needsPass())
        if (!passOver(search, weights, rowCount, quantizer.columns(), stop))
            return {};
    return {search.grid()};
}

kernels::LeastSquaresSearch searchFor(const Scheme& scheme, std::vector<double>& spreads)
{
    const double codes = std::ldexp(1.0, static_cast<int>(codeBits(scheme.format)));
    kernels::LeastSquaresSearch search;
    const kernels::IntegerCodes integers = integerCodesOf(scheme);
    search.lowest = static_cast<double>(integers.lowest);
    search.highest = static_cast<double>(integers.highest);
    search.zero = codes / 2.0;
    search.freedom = scheme.symmetry == Symmetry::AsymmetricFloat ? kernels::GridFreedom::ScaleAndMinimum
        : scheme.symmetry == Symmetry::Asymmetric                 ? kernels::GridFreedom::ScaleAndZero
                                                                  : kernels::GridFreedom::Scale;
    spreads.resize(37);
    for (std::size_t i = 0; i < spreads.size(); ++i) {
        const auto step = static_cast<double>(i);
        spreads[i] = codes >= 16.0 ? -0.9 + 0.05 * step : search.highest * (-0.5 + 0.75 * step / 37.0);
    }
    search.spreads = spreads;
    return search;
}

/// What was found, where float holds it.
UnitGrid gridFrom(const kernels::LeastSquaresSearch& search, double scale, double minimum, const UnitGrid& otherwise)
{
    UnitGrid grid {static_cast<float>(scale), static_cast<float>(minimum)};
    if (search.freedom != kernels::GridFreedom::ScaleAndMinimum)
        grid.zero = static_cast<float>(std::nearbyint(-minimum / scale)) + 0.0F;
    const double highest = scale * search.highest;
    constexpr double most = 1e38;
    return grid.scale > 0.0F && highest < most && std::abs(minimum) + highest < most ? grid : otherwise;
}

/// The units of some rows, one unit of every row at a time.
void improveGrids(const Quantizer& quantizer, const kernels::LeastSquaresSearch& search, std::span<const float> weights,
    std::size_t rowCount, std::span<const float> importance, std::span<UnitGrid> grids)
{
    constexpr std::size_t lanes = 8;
    const std::size_t columns = quantizer.columns(), length = quantizer.unitLength(), units = quantizer.unitsPerRow();
    const std::size_t padded = (rowCount + lanes - 1) / lanes * lanes;
    const bool floating = search.freedom == kernels::GridFreedom::ScaleAndMinimum;
    std::vector<double> scales(padded, 1.0), minimums(padded);
    for (std::size_t unit = 0; unit < units; ++unit) {
        const std::size_t begin = unit * length, width = std::min(length, columns - begin);
        std::vector<float> sideways(width * padded);
        for (std::size_t r = 0; r < rowCount; ++r) {
            for (std::size_t k = 0; k < width; ++k)
                sideways[k * padded + r] = weights[r * columns + begin + k];
            const UnitGrid& grid = grids[r * units + unit];
            scales[r] = static_cast<double>(grid.scale);
            minimums[r] = static_cast<double>(floating ? grid.zero : -grid.scale * grid.zero);
        }
        std::vector<double> worth(importance.begin() + static_cast<std::ptrdiff_t>(begin),
            importance.begin() + static_cast<std::ptrdiff_t>(begin + width));
        // As a share of the largest, so that no square of a weight times it leaves the range of numbers.
        const double most = *std::max_element(worth.begin(), worth.end());
        for (double& value : worth)
            value = most > 0.0 ? value / most : 1.0;
        kernels::leastSquaresGrids(search, worth, sideways, padded, scales, minimums);
        for (std::size_t r = 0; r < rowCount; ++r) {
            UnitGrid& grid = grids[r * units + unit];
            grid = gridFrom(search, scales[r], minimums[r], grid);
        }
    }
}

}  // namespace

std::vector<UnitGrid> chooseGrids(
    const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount, const std::stop_token& stop)
{
    if (quantizer.wholeTensor())
        return gridOfTensor(quantizer, weights, rowCount, stop);
    const std::size_t columns = quantizer.columns();
    std::optional<HalfQuadraticSearch> search;
    if (uses(quantizer.scheme(), Algorithm::Hqq)) {
        search.emplace(quantizer);
        while (search->needsPass())
            if (!passOver(*search, weights, rowCount, columns, stop))
                return {};
    }
    std::vector<UnitGrid> grids(quantizer.gridCount(rowCount));
    // Whole bands of rows that share units.
    const std::size_t band = quantizer.rowsPerUnit(), step = (rowsPerBlock + band - 1) / band * band;
    const bool done = forEachIndex((rowCount + step - 1) / step, stop, [&](std::size_t block) {
        const std::size_t first = block * step, count = std::min(step, rowCount - first);
        const auto rows = weights.subspan(first * columns, count * columns);
        const auto own = std::span(grids).subspan(first / band * quantizer.unitsPerRow(), quantizer.gridCount(count));
        if (search)
            search->fit(rows, own);
        else
            quantizer.fit(rows, count, own);
    });
    if (!done)
        return {};
    if (quantizer.scheme().scales == ScaleStorage::Double8)
        quantizeScales(quantizer.scheme(), grids);
    return grids;
}

void fakeQuantizeRows(const Quantizer& quantizer, std::span<const float> weights, std::span<const UnitGrid> grids,
    std::size_t first, std::size_t count, std::span<float> out)
{
    const std::size_t columns = quantizer.columns(), band = quantizer.rowsPerUnit();
    const auto own = quantizer.wholeTensor() ? grids : grids.subspan(first / band * quantizer.unitsPerRow());
    quantizer.fakeQuantize(weights.subspan(first * columns, count * columns), count, own, out, first % band);
}

std::vector<UnitGrid> leastSquaresGridsOf(const Quantizer& quantizer, std::span<const float> weights,
    std::size_t rowCount, std::span<const float> importance, const std::stop_token& stop)
{
    std::vector<UnitGrid> grids = chooseGrids(quantizer, weights, rowCount, stop);
    std::vector<double> spreads;
    const kernels::LeastSquaresSearch search = searchFor(quantizer.scheme(), spreads);
    const std::size_t columns = quantizer.columns(), units = quantizer.unitsPerRow();
    if (grids.empty() || !forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
            improveGrids(quantizer, search, weights.subspan(first * columns, count * columns), count, importance,
                std::span(grids).subspan(first * units, count * units));
        }))
        return {};
    return grids;
}

}  // namespace quantloupe
