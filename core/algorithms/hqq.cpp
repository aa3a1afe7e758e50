// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/hqq.h"

#include "core/kernels/ranges.h"
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace quantloupe {
namespace {

constexpr float smallestRange = 1e-4F;
constexpr float largestInverse = 2e4F;
// Beyond, ŵ may leave the range of floats while the solver looks for a place for it.
constexpr float largestWeight = 0x1p120F;

/// The state of some units: zero points count codes, and belong to the inverse of the scale. An inverse of 0 marks a
/// unit that is not iterated.
struct Units {
    std::vector<kernels::FiniteRange> ranges;
    std::vector<float> inverses, zeros;
};

Units unitsOf(std::span<const float> rows, const kernels::UnitShape& shape, float highest)
{
    const std::size_t count = shape.rows(rows.size()) * shape.unitsPerRow();
    Units units {std::vector<kernels::FiniteRange>(count), std::vector<float>(count), std::vector<float>(count)};
    kernels::rangesOfUnits(rows, shape, units.ranges);
    for (std::size_t u = 0; u < count; ++u) {
        const kernels::FiniteRange& range = units.ranges[u];
        const float width = range.empty() ? 0.0F : range.maximum - range.minimum;
        if (!(width > 0.0F) || range.absMax() > largestWeight)
            continue;
        // The original divides a number by a tensor, which is a reciprocal and a product.
        const float inverse = width <= smallestRange ? 1.0F : std::min(1.0F / width * highest, largestInverse);
        units.inverses[u] = inverse;
        units.zeros[u] = -range.minimum * inverse;
    }
    return units;
}

}  // namespace

HalfQuadraticSearch::HalfQuadraticSearch(const Quantizer& quantizer)
    : m_quantizer(quantizer)
    , m_shape {quantizer.columns(), quantizer.unitLength(), false}
    , m_highest(static_cast<float>(quantizer.codeCount() - 1))
{
}

void HalfQuadraticSearch::add(Partial& partial, std::span<const float> rows) const
{
    Units units = unitsOf(rows, m_shape, m_highest);
    partial += kernels::halfQuadraticZeros(
        rows, m_shape, m_highest, kernels::halfQuadraticIterations, units.inverses, units.zeros);
}

void HalfQuadraticSearch::finishPass(const Partial& total)
{
    // Means are compared as floats: the original has float tensors, and equal means end its search.
    float best = std::numeric_limits<float>::infinity();
    m_iterations = 0;
    m_needsPass = false;
    for (const double sum : total.absError) {
        if (total.count == 0)
            return;
        ++m_iterations;
        const auto mean = static_cast<float>(sum / static_cast<double>(total.count));
        if (!(mean < best))
            return;  // what this iteration moved stays moved
        best = mean;
    }
}

void HalfQuadraticSearch::fit(std::span<const float> rows, std::span<UnitGrid> grids) const
{
    Units units = unitsOf(rows, m_shape, m_highest);
    kernels::halfQuadraticZeros(rows, m_shape, m_highest, m_iterations, units.inverses, units.zeros);
    const auto& format = *m_quantizer.format().grid;
    for (std::size_t u = 0; u < grids.size(); ++u) {
        const kernels::FiniteRange& range = units.ranges[u];
        const float scale = 1.0F / units.inverses[u];
        const float minimum = -units.zeros[u] * scale;
        if (units.inverses[u] > 0.0F && std::isfinite(minimum) && std::isfinite(scale * m_highest + minimum))
            grids[u] = {scale, minimum};
        else if (range.empty())
            grids[u] = format.gridOf(m_quantizer.scheme(), {});
        else
            grids[u] = format.gridOf(m_quantizer.scheme(), {range.minimum, range.maximum});
    }
}

}  // namespace quantloupe
