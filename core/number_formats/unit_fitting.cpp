// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/unit_fitting.h"

#include "core/kernels/power_error.h"
#include "core/kernels/ranges.h"
#include "core/number_formats/percentile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace quantloupe {
namespace {

using kernels::FiniteRange;

// The grid of a plain range: nothing finite counts as all zero.
UnitGrid gridOfRange(const NumberFormat& format, const Scheme& scheme, const FiniteRange& range)
{
    if (format.basis(scheme) == GridBasis::AbsMax)
        return format.gridOf(scheme, -range.absMax(), range.absMax());
    return range.empty() ? format.gridOf(scheme, 0.0F, 0.0F) : format.gridOf(scheme, range.minimum, range.maximum);
}

// The range between two percentiles of a unit, or ± the percentile of |w|.
FiniteRange percentileRange(
    const NumberFormat& format, const Scheme& scheme, std::span<const float> unit, std::vector<float>& scratch)
{
    scratch.clear();
    std::copy_if(unit.begin(), unit.end(), std::back_inserter(scratch), [](float x) { return std::isfinite(x); });
    if (scratch.empty())
        return {};
    const double share = scheme.range.percentile / 100.0;
    if (isTwoSided(scheme)) {
        const float high = quantileInPlace(scratch, share);
        return {quantileInPlace(scratch, 1.0 - share), high};
    }
    const bool anyNegative = std::any_of(scratch.begin(), scratch.end(), [](float x) { return x < 0.0F; });
    for (float& value : scratch)
        value = std::abs(value);
    const float high = quantileInPlace(scratch, share);
    // symf looks at whether anything is negative; the others make ±high of it themselves.
    return {anyNegative || format.basis(scheme) == GridBasis::AbsMax ? -high : 0.0F, high};
}

// GPTQ's clipping search over the units of one row; candidates are tried for the whole row at once so that the kernels
// are entered once per row and not once per unit.
class RowSearch
{
public:
    RowSearch(const NumberFormat& format, const Scheme& scheme, const kernels::UnitShape& shape)
        : m_format(format)
        , m_scheme(scheme)
        , m_shape(shape)
        , m_ranges(shape.unitsPerRow())
        , m_factors(shape.unitsPerRow())
        , m_candidates(shape.unitsPerRow())
        , m_errors(shape.unitsPerRow())
        , m_best(shape.unitsPerRow())
        , m_quantized(shape.columns)
    {
    }

    void fit(std::span<const float> row, std::span<UnitGrid> grids)
    {
        const bool symmetric = m_format.basis(m_scheme) == GridBasis::AbsMax;
        kernels::rangesOfUnits(row, m_shape, m_ranges);
        for (std::size_t u = 0; u < m_ranges.size(); ++u) {
            const float absMax = m_ranges[u].absMax();
            if (m_ranges[u].empty())
                m_ranges[u] = {0.0F, 0.0F};
            if (symmetric)
                m_ranges[u] = {-absMax, absMax};
            m_factors[u] = kernels::powerErrorFactor(absMax);
            m_best[u] = std::numeric_limits<double>::infinity();
        }
        for (std::size_t candidate = 0; candidate < shrinkCandidates; ++candidate) {
            for (std::size_t u = 0; u < m_ranges.size(); ++u) {
                const auto [low, high] = shrunkRange(m_ranges[u].minimum, m_ranges[u].maximum, candidate);
                m_candidates[u] = m_format.gridOf(m_scheme, low, high);
            }
            m_format.fakeQuantize(m_scheme, m_shape, row, m_candidates, m_quantized);
            kernels::powerErrorsOfUnits(row, m_quantized, m_shape, m_factors, m_errors);
            for (std::size_t u = 0; u < m_ranges.size(); ++u)
                if (candidate == 0 || m_errors[u] < m_best[u]) {
                    m_best[u] = m_errors[u];
                    grids[u] = m_candidates[u];
                }
        }
    }

private:
    const NumberFormat& m_format;
    const Scheme& m_scheme;
    const kernels::UnitShape& m_shape;
    std::vector<FiniteRange> m_ranges;
    std::vector<float> m_factors;
    std::vector<UnitGrid> m_candidates;
    std::vector<double> m_errors;
    std::vector<double> m_best;
    std::vector<float> m_quantized;
};

}  // namespace

bool isTwoSided(const Scheme& scheme)
{
    return scheme.symmetry == Symmetry::Asymmetric || scheme.symmetry == Symmetry::AsymmetricFloat;
}

ShrunkRange shrunkRange(float low, float high, std::size_t candidate)
{
    // The original's factor is a Python number (a double); its product with a float tensor is a float one.
    const auto factor = static_cast<float>(1.0 - static_cast<double>(candidate) / 100.0);
    return {factor * low, factor * high};
}

void fitUnits(const NumberFormat& format, const Scheme& scheme, const kernels::UnitShape& shape,
    std::span<const float> rows, std::span<UnitGrid> grids)
{
    const std::size_t unitsPerRow = shape.unitsPerRow();
    const std::size_t rowCount = shape.rows(rows.size());
    if (format.basis(scheme) == GridBasis::None) {
        std::fill(grids.begin(), grids.end(), UnitGrid {});
        return;
    }
    if (format.basis(scheme) == GridBasis::AbsMean) {
        std::vector<double> means(unitsPerRow);
        for (std::size_t row = 0; row < rowCount; ++row) {
            kernels::absMeansOfUnits(rows.subspan(row * shape.columns, shape.columns), shape, means);
            for (std::size_t u = 0; u < unitsPerRow; ++u) {
                const auto mean = static_cast<float>(means[u]);
                grids[row * unitsPerRow + u] = format.gridOf(scheme, mean, mean);
            }
        }
        return;
    }
    if (scheme.range.kind == RangeEstimator::Kind::Mse) {
        RowSearch search(format, scheme, shape);
        for (std::size_t row = 0; row < rowCount; ++row)
            search.fit(rows.subspan(row * shape.columns, shape.columns), grids.subspan(row * unitsPerRow, unitsPerRow));
        return;
    }
    if (scheme.range.kind == RangeEstimator::Kind::Percentile) {
        std::vector<float> scratch;
        scratch.reserve(shape.length);
        for (std::size_t row = 0; row < rowCount; ++row)
            for (std::size_t u = 0; u < unitsPerRow; ++u) {
                const std::size_t start = u * shape.length;
                const auto unit =
                    rows.subspan(row * shape.columns + start, std::min(shape.length, shape.columns - start));
                grids[row * unitsPerRow + u] =
                    gridOfRange(format, scheme, percentileRange(format, scheme, unit, scratch));
            }
        return;
    }
    std::vector<FiniteRange> ranges(unitsPerRow);
    for (std::size_t row = 0; row < rowCount; ++row) {
        kernels::rangesOfUnits(rows.subspan(row * shape.columns, shape.columns), shape, ranges);
        for (std::size_t u = 0; u < unitsPerRow; ++u)
            grids[row * unitsPerRow + u] = gridOfRange(format, scheme, ranges[u]);
    }
}

}  // namespace quantloupe
