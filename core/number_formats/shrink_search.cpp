// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/shrink_search.h"

#include "core/kernels/power_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {
namespace {

constexpr double norm = 2.4;

// Scaled so that the largest is 1: the search compares sums, whose common factor cancels.
std::vector<float> columnFactors(std::span<const float> importance)
{
    std::vector<float> factors(importance.size());
    const float largest = importance.empty() ? 0.0F : *std::max_element(importance.begin(), importance.end());
    if (largest > 0.0F)
        std::transform(importance.begin(), importance.end(), factors.begin(),
            [largest](float x) { return static_cast<float>(std::pow(static_cast<double>(x / largest), 1.0 / norm)); });
    else
        std::fill(factors.begin(), factors.end(), 1.0F);
    return factors;
}

}  // namespace

ShrunkRange shrunkRange(float low, float high, std::size_t candidate)
{
    // The original's factor is a Python number (a double); its product with a float tensor is a float one.
    const auto factor = static_cast<float>(1.0 - static_cast<double>(candidate) / 100.0);
    return {factor * low, factor * high};
}

ShrinkSearch::ShrinkSearch(const GridMethods& format, const FittingTask& task)
    : m_format(format)
    , m_task(task)
{
    if (task.scheme.range.kind != RangeEstimator::Kind::Mse)
        return;
    const std::size_t units = task.shape.unitsPerRow();
    if (!task.importance.empty())
        m_columnFactors = columnFactors(task.importance);
    m_factors.resize(units);
    m_candidates.resize(units);
    m_errors.resize(units);
    m_rowErrors.resize(units);
    m_best.resize(units);
    m_quantized.resize(task.shape.columns);
    m_weighted.resize(m_columnFactors.size());
}

void ShrinkSearch::findRanges(std::span<const float> rows, std::size_t rowCount)
{
    const std::size_t units = m_factors.size();
    m_ranges.resize(rowCount * units);
    kernels::rangesOfUnits(rows, m_task.shape, m_ranges);
    const bool symmetric = m_format.basis(m_task.scheme) == GridBasis::AbsMax;
    for (std::size_t u = 0; u < units; ++u) {
        kernels::FiniteRange& range = m_ranges[u];
        for (std::size_t row = 1; row < rowCount; ++row) {
            range.minimum = std::min(range.minimum, m_ranges[row * units + u].minimum);
            range.maximum = std::max(range.maximum, m_ranges[row * units + u].maximum);
        }
        const float absMax = range.absMax();
        if (range.empty())
            range = {0.0F, 0.0F};
        if (symmetric)
            range = {-absMax, absMax};
        m_factors[u] = kernels::powerErrorFactor(absMax);
        m_best[u] = std::numeric_limits<double>::infinity();
    }
}

void ShrinkSearch::addErrors(std::span<const float> row)
{
    std::span<const float> original = row;
    if (!m_columnFactors.empty()) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            m_weighted[i] = row[i] * m_columnFactors[i];
            m_quantized[i] *= m_columnFactors[i];
        }
        original = m_weighted;
    }
    kernels::powerErrorsOfUnits(original, m_quantized, m_task.shape, m_factors, m_rowErrors);
    for (std::size_t u = 0; u < m_errors.size(); ++u)
        m_errors[u] += m_rowErrors[u];
}

void ShrinkSearch::fit(std::span<const float> rows, std::size_t rowCount, std::span<UnitGrid> grids)
{
    const std::size_t columns = m_task.shape.columns;
    findRanges(rows, rowCount);
    for (std::size_t candidate = 0; candidate < shrinkCandidates; ++candidate) {
        for (std::size_t u = 0; u < grids.size(); ++u) {
            const auto [low, high] = shrunkRange(m_ranges[u].minimum, m_ranges[u].maximum, candidate);
            m_candidates[u] = m_format.gridOf(m_task.scheme, {low, high, m_task.tensorAbsMax});
        }
        std::fill(m_errors.begin(), m_errors.end(), 0.0);
        for (std::size_t r = 0; r < rowCount; ++r) {
            const auto row = rows.subspan(r * columns, columns);
            m_format.fakeQuantize(m_task.scheme, m_task.shape, row, m_candidates, m_quantized);
            addErrors(row);
        }
        for (std::size_t u = 0; u < grids.size(); ++u)
            if (candidate == 0 || m_errors[u] < m_best[u]) {
                m_best[u] = m_errors[u];
                grids[u] = m_candidates[u];
            }
    }
}

}  // namespace quantloupe
