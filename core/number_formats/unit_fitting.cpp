// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/unit_fitting.h"

#include "core/kernels/ranges.h"
#include "core/number_formats/entropy_range.h"
#include "core/number_formats/percentile.h"
#include "core/number_formats/shrink_search.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace quantloupe {
namespace {

using kernels::FiniteRange;

// One band of rows whose units lie one upon the other.
struct Band {
    std::span<const float> rows;
    std::size_t rowCount;
};

bool isAbsolute(const GridMethods& format, const Scheme& scheme)
{
    return format.basis(scheme) == GridBasis::AbsMax;
}

// The grid of a plain range: nothing finite counts as all zero.
UnitGrid gridOfRange(const GridMethods& format, const FittingTask& task, const FiniteRange& range)
{
    if (isAbsolute(format, task.scheme))
        return format.gridOf(task.scheme, {-range.absMax(), range.absMax(), task.tensorAbsMax});
    return range.empty() ? format.gridOf(task.scheme, {0.0F, 0.0F, task.tensorAbsMax})
                         : format.gridOf(task.scheme, {range.minimum, range.maximum, task.tensorAbsMax});
}

// Fits the units of a band, each handed over as its finite weights and what they weigh (empty: all the same).
class UnitGatherer
{
public:
    explicit UnitGatherer(const FittingTask& task)
        : m_task(task)
    {
    }

    void gather(const Band& band, std::size_t unit)
    {
        const kernels::UnitShape& shape = m_task.shape;
        const std::size_t begin = unit * shape.length;
        const std::size_t end = std::min(begin + shape.length, shape.columns);
        values.clear();
        weights.clear();
        if (m_task.importance.empty() && band.rowCount == 1) {
            const auto own = band.rows.subspan(begin, end - begin);
            if (kernels::absSumOf(own).count == own.size()) {
                values.assign(own.begin(), own.end());
                return;
            }
        }
        for (std::size_t row = 0; row < band.rowCount; ++row)
            for (std::size_t column = begin; column < end; ++column) {
                const float value = band.rows[row * shape.columns + column];
                if (!std::isfinite(value))
                    continue;
                values.push_back(value);
                if (!m_task.importance.empty())
                    weights.push_back(m_task.importance[column]);
            }
    }

    std::vector<float> values {};
    std::vector<float> weights {};

private:
    const FittingTask& m_task;
};

// The range between two percentiles of a unit, or ± the percentile of |w|.
FiniteRange percentileRange(const GridMethods& format, const FittingTask& task, UnitGatherer& unit)
{
    if (unit.values.empty())
        return {};
    const double share = task.scheme.range.percentile / 100.0;
    if (isTwoSided(task.scheme)) {
        const float high = quantileOf(unit.values, unit.weights, share);
        return {quantileOf(unit.values, unit.weights, 1.0 - share), high};
    }
    const bool anyNegative = std::any_of(unit.values.begin(), unit.values.end(), [](float x) { return x < 0.0F; });
    for (float& value : unit.values)
        value = std::abs(value);
    const float high = quantileOf(unit.values, unit.weights, share);
    // symf looks at whether anything is negative; the others make ±high of it themselves.
    return {anyNegative || isAbsolute(format, task.scheme) ? -high : 0.0F, high};
}

FiniteRange entropyRange(const FittingTask& task, const UnitGatherer& unit)
{
    const FiniteRange whole = kernels::rangeOf(unit.values);
    if (whole.absMax() == 0.0F)
        return whole;
    std::vector<double> counts(entropyBins);
    countSizes(unit.values, unit.weights, whole.absMax(), counts);
    return cutRange(
        whole, entropyThreshold(counts, whole.absMax(), static_cast<unsigned>(codeBits(task.scheme.format))));
}

void fitMeans(const GridMethods& format, const FittingTask& task, const Band& band, std::span<UnitGrid> grids)
{
    const kernels::UnitShape& shape = task.shape;
    for (std::size_t unit = 0; unit < grids.size(); ++unit) {
        kernels::AbsSum sum;
        const std::size_t begin = unit * shape.length;
        for (std::size_t row = 0; row < band.rowCount; ++row) {
            const auto part = kernels::absSumOf(
                band.rows.subspan(row * shape.columns + begin, std::min(shape.length, shape.columns - begin)));
            sum.sum += part.sum;
            sum.count += part.count;
        }
        const auto mean = static_cast<float>(sum.count == 0 ? 0.0 : sum.sum / static_cast<double>(sum.count));
        grids[unit] = format.gridOf(task.scheme, {mean, mean, task.tensorAbsMax});
    }
}

void fitRanges(const GridMethods& format, const FittingTask& task, const Band& band, std::span<UnitGrid> grids,
    std::vector<FiniteRange>& scratch)
{
    const std::size_t units = grids.size();
    scratch.resize(band.rowCount * units);
    kernels::rangesOfUnits(band.rows, task.shape, scratch);
    const auto ranges = std::span(scratch).first(units);
    for (std::size_t row = 1; row < band.rowCount; ++row)
        for (std::size_t unit = 0; unit < units; ++unit) {
            const FiniteRange& other = scratch[row * units + unit];
            ranges[unit].minimum = std::min(ranges[unit].minimum, other.minimum);
            ranges[unit].maximum = std::max(ranges[unit].maximum, other.maximum);
        }
    if (format.gridsOf != nullptr && format.gridsOf(task.scheme, ranges, grids))
        return;
    std::transform(ranges.begin(), ranges.end(), grids.begin(),
        [&](const FiniteRange& range) { return gridOfRange(format, task, range); });
}

}  // namespace

bool isTwoSided(const Scheme& scheme)
{
    return scheme.symmetry == Symmetry::Asymmetric || scheme.symmetry == Symmetry::AsymmetricFloat;
}

FiniteRange cutRange(const FiniteRange& whole, float threshold)
{
    return {std::max(whole.minimum, -threshold), std::min(whole.maximum, threshold)};
}

void fitUnits(
    const GridMethods& format, const FittingTask& task, std::span<const float> rows, std::span<UnitGrid> grids)
{
    const GridBasis basis = format.basis(task.scheme);
    if (basis == GridBasis::None) {
        std::fill(grids.begin(), grids.end(), UnitGrid {});
        return;
    }
    const std::size_t columns = task.shape.columns;
    const std::size_t units = task.shape.unitsPerRow();
    const std::size_t rowCount = task.shape.rows(rows.size());
    const RangeEstimator::Kind kind = task.scheme.range.kind;
    if (kind == RangeEstimator::Kind::Mse && basis != GridBasis::AbsMean && task.rowsPerUnit == 1
        && task.importance.empty() && format.searchShrunk != nullptr
        && format.searchShrunk(task.scheme, task.shape, rows, grids))
        return;
    std::vector<FiniteRange> ranges;
    ShrinkSearch search(format, task);
    UnitGatherer gatherer(task);
    for (std::size_t row = 0; row < rowCount; row += task.rowsPerUnit) {
        const std::size_t count = std::min(task.rowsPerUnit, rowCount - row);
        const Band band {rows.subspan(row * columns, count * columns), count};
        const auto own = grids.subspan(row / task.rowsPerUnit * units, units);
        if (basis == GridBasis::AbsMean) {
            fitMeans(format, task, band, own);
        } else if (kind == RangeEstimator::Kind::MinMax) {
            fitRanges(format, task, band, own, ranges);
        } else if (kind == RangeEstimator::Kind::Mse) {
            search.fit(band.rows, band.rowCount, own);
        } else {
            for (std::size_t unit = 0; unit < units; ++unit) {
                gatherer.gather(band, unit);
                own[unit] = gridOfRange(format, task,
                    kind == RangeEstimator::Kind::Entropy ? entropyRange(task, gatherer)
                                                          : percentileRange(format, task, gatherer));
            }
        }
    }
}

}  // namespace quantloupe
