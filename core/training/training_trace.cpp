// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/training_trace.h"

#include "core/schemes/format_traits.h"
#include "core/statistics/histogram_filler.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace quantloupe {
namespace {

constexpr std::size_t kMostBins = 512, kBinsPerLevel = 16, kBinsOfCodeBooks = 256;

/// The value that stands in the sorted place q · (count − 1), between neighbours in proportion.
double quantileOf(std::span<const double> sorted, double q)
{
    const double place = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const auto above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + ((place - static_cast<double>(below)) * (sorted[above] - sorted[below]));
}

std::optional<StepSpread> spreadOf(
    std::uint64_t step, const std::vector<UnitGrid>& grids, const std::vector<float>& beginning)
{
    std::vector<double> ratios;
    ratios.reserve(grids.size());
    for (std::size_t i = 0; i < std::min(grids.size(), beginning.size()); ++i)
        if (const double ratio = static_cast<double>(grids[i].scale) / static_cast<double>(beginning[i]);
            std::isfinite(ratio))
            ratios.push_back(ratio);
    if (ratios.empty())
        return std::nullopt;
    std::sort(ratios.begin(), ratios.end());
    return StepSpread {.step = step,
        .p5 = quantileOf(ratios, 0.05),
        .p25 = quantileOf(ratios, 0.25),
        .median = quantileOf(ratios, 0.5),
        .p75 = quantileOf(ratios, 0.75),
        .p95 = quantileOf(ratios, 0.95)};
}

bool showsScales(const TrainedQuantizer& trained)
{
    const auto& quantizer = trained.quantizer();
    return quantizer.hasGrids() && quantizer.hasScale() && !trained.grids().empty();
}

/// Code 0 of a unit, in weights; 0 where levels lie around 0.
float originOf(const Scheme& scheme, const UnitGrid& grid)
{
    if (!isInteger(scheme.format))
        return 0.0F;
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return grid.zero;
    return scheme.symmetry == Symmetry::Asymmetric ? -grid.scale * grid.zero : 0.0F;
}

/// Levels of a unit with scale 1 and its code 0 (or 0) in place 0.
std::vector<float> levelsInScales(const TrainedQuantizer& trained)
{
    const auto& scheme = trained.quantizer().scheme();
    const UnitGrid unit {1.0F, trained.grids().front().zero};
    auto levels = trained.quantizer().levels(unit);
    const float origin = originOf(scheme, unit);
    std::erase_if(levels, [](float level) { return !std::isfinite(level); });
    for (auto& level : levels)
        level -= origin;
    std::sort(levels.begin(), levels.end());
    levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
    // The lowest code of a restricted range is never used.
    if (isInteger(scheme.format) && scheme.symmetry == Symmetry::Symmetric && levels.size() > 2
        && levels.front() < -levels.back())
        levels.erase(levels.begin());
    return levels;
}

/// Bins whose middles are the levels, where these are whole numbers; a step beyond both ends.
Histogram binsAround(const std::vector<float>& levels, bool wholeNumbers)
{
    const auto first = static_cast<double>(levels.front()), last = static_cast<double>(levels.back());
    if (!wholeNumbers) {
        const double margin = 0.1 * (last - first);
        return {.low = first - margin, .high = last + margin, .counts = std::vector<std::uint64_t>(kBinsOfCodeBooks)};
    }
    const auto steps = static_cast<std::size_t>(last - first) + 2;
    const auto perStep = std::clamp<std::size_t>((kMostBins - 1) / steps, 1, kBinsPerLevel);
    const double half = 0.5 / static_cast<double>(perStep);
    return {.low = first - 1.0 - half,
        .high = last + 1.0 + half,
        .counts = std::vector<std::uint64_t>((steps * perStep) + 1)};
}

}  // namespace

std::optional<LevelHistogram> levelHistogram(const TrainedMatrix& matrix)
{
    const auto& trained = matrix.quantizer;
    if (!showsScales(trained))
        return std::nullopt;
    LevelHistogram shown {.levels = levelsInScales(trained)};
    if (shown.levels.size() < 2)
        return std::nullopt;
    const auto& quantizer = trained.quantizer();
    shown.histogram = binsAround(shown.levels, isInteger(quantizer.scheme().format));
    HistogramFiller filler(shown.histogram);
    std::vector<float> places(matrix.columns);
    double distances = 0.0;
    std::size_t counted = 0;
    for (std::size_t row = 0; row < matrix.rows; ++row) {
        places.clear();
        for (std::size_t column = 0; column < matrix.columns; ++column) {
            const auto unit = quantizer.wholeTensor()
                ? 0
                : (row / quantizer.rowsPerUnit() * quantizer.unitsPerRow()) + (column / quantizer.unitLength());
            const auto& grid = trained.grids()[unit];
            if (grid.scale == 0.0F)
                continue;
            const auto weight = matrix.weights.values[(row * matrix.columns) + column];
            places.push_back((weight - originOf(quantizer.scheme(), grid)) / grid.scale);
            const auto rounded = matrix.quantized[(row * matrix.columns) + column];
            distances += std::abs(static_cast<double>(weight - rounded) / static_cast<double>(grid.scale));
            ++counted;
        }
        filler.add(places);
    }
    shown.histogram = filler.histogram();
    shown.distance = counted > 0 ? distances / static_cast<double>(counted) : 0.0;
    return shown;
}

TrainingTrace::TrainingTrace(const Student& student)
{
    for (const auto& matrix : student.matrices()) {
        auto& watched = m_matrices.emplace_back();
        if (!showsScales(matrix.quantizer))
            continue;
        for (const auto& grid : matrix.quantizer.grids())
            watched.scales.push_back(grid.scale);
        if (const auto spread = spreadOf(0, matrix.quantizer.grids(), watched.scales))
            watched.spreads.push_back(*spread);
        watched.beginning = levelHistogram(matrix);
    }
}

void TrainingTrace::note(std::uint64_t step, const Student& student)
{
    for (std::size_t i = 0; i < m_matrices.size(); ++i)
        if (const auto spread = spreadOf(step, student.matrices()[i].quantizer.grids(), m_matrices[i].scales))
            m_matrices[i].spreads.push_back(*spread);
}

}  // namespace quantloupe
