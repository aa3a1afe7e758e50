// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/input_basis.h"

#include "core/algorithms/row_blocks.h"
#include "core/base/zeroed_array.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace quantloupe {
namespace {

/// Rows of a square matrix that are worked on together, so that reading its columns does not stray.
constexpr std::size_t bandRows = 32;

/// band(first row, row count) for bands of a square matrix's rows.
template<class Work>
bool forEachBand(std::size_t size, const std::stop_token& stop, const Work& work)
{
    return forEachIndex((size + bandRows - 1) / bandRows, stop, [&](std::size_t band) {
        const std::size_t first = band * bandRows;
        work(first, std::min(bandRows, size - first));
    });
}

/// Everything but the moments, which are the most.
LayerInputs withoutMoments(const LayerInputs& inputs)
{
    return {.columns = inputs.columns,
        .tokens = inputs.tokens,
        .mean = inputs.mean,
        .absMean = inputs.absMean,
        .absMax = inputs.absMax,
        .sample = inputs.sample};
}

/// Σ over rows of some thousand numbers each, added to `moments` band by band: what is added is made in parallel.
template<class Row>
void appendRows(std::vector<double>& moments, std::size_t columns, const std::stop_token& stop, const Row& row)
{
    constexpr std::size_t rowsAtOnce = 512;
    moments.reserve(columns * columns);
    std::vector<double> some;
    for (std::size_t first = 0; first < columns && !stop.stop_requested(); first += rowsAtOnce) {
        const std::size_t count = std::min(rowsAtOnce, columns - first);
        some.resize(count * columns);
        forEachIndex(
            count, stop, [&](std::size_t i) { row(first + i, std::span(some).subspan(i * columns, columns)); });
        moments.insert(moments.end(), some.begin(), some.end());
    }
    if (stop.stop_requested())
        moments.clear();
}

/// Rᵀ·H·R in two passes over rows, H being symmetric. Rotations are of floats: H is scaled to fit.
std::vector<double> rotatedMoments(const std::vector<double>& moments, std::size_t columns,
    const HadamardRotation& rotation, const std::stop_token& stop)
{
    double largest = 0.0;
    for (std::size_t i = 0; i < columns; ++i)
        largest = std::max(largest, moments[i * columns + i]);
    std::vector<double> rotated;
    const bool nothing = largest == 0.0;
    ZeroedArray<float> half(nothing ? 0 : moments.size()), whole(half.size());
    forEachBand(nothing ? 0 : columns, stop, [&](std::size_t first, std::size_t count) {
        std::vector<double> scratch;
        std::vector<float> rows(count * columns);
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = static_cast<float>(moments[first * columns + i] / largest);
        rotation.apply(rows, scratch, rows);
        for (std::size_t j = 0; j < columns; ++j)
            for (std::size_t i = 0; i < count; ++i)
                half[j * columns + first + i] = rows[i * columns + j];
    });
    forEachBand(nothing ? 0 : columns, stop, [&](std::size_t first, std::size_t count) {
        std::vector<double> scratch;
        const auto rows = whole.part(first * columns, count * columns);
        rotation.apply(half.part(first * columns, count * columns), scratch, rows);
    });
    // Both halves were rounded by themselves.
    const auto at = [&](std::size_t i, std::size_t j) { return static_cast<double>(whole[i * columns + j]) * largest; };
    appendRows(rotated, columns, stop, [&](std::size_t i, std::span<double> row) {
        for (std::size_t j = 0; j < columns; ++j)
            row[j] = nothing ? 0.0 : i == j ? std::max(at(i, i), 0.0) : 0.5 * (at(i, j) + at(j, i));
    });
    return rotated;
}

}  // namespace

LayerInputs scaledInputs(const LayerInputs& inputs, std::span<const float> scales, const std::stop_token& stop)
{
    LayerInputs scaled = withoutMoments(inputs);
    const std::size_t columns = inputs.columns;
    if (!inputs.secondMoments.empty())
        appendRows(scaled.secondMoments, columns, stop, [&](std::size_t i, std::span<double> row) {
            for (std::size_t j = 0; j < columns; ++j)
                row[j] = inputs.secondMoments[i * columns + j]
                    / (static_cast<double>(scales[i]) * static_cast<double>(scales[j]));
        });
    for (auto* part : {&scaled.mean, &scaled.absMean, &scaled.absMax, &scaled.sample})
        for (std::size_t i = 0; i < part->size(); ++i)
            (*part)[i] /= scales[i % columns];
    return scaled;
}

LayerInputs rotatedInputs(const LayerInputs& inputs, const HadamardRotation& rotation, const std::stop_token& stop)
{
    LayerInputs rotated = withoutMoments(inputs);
    std::vector<double> scratch;
    if (!inputs.secondMoments.empty())
        rotated.secondMoments = rotatedMoments(inputs.secondMoments, inputs.columns, rotation, stop);
    rotation.apply(rotated.mean, scratch, rotated.mean);
    rotation.apply(rotated.sample, scratch, rotated.sample);
    rotated.absMean.clear();
    rotated.absMax.clear();
    if (!rotated.sample.empty())
        rotated.absMax.assign(inputs.columns, 0.0F);
    for (std::size_t i = 0; i < rotated.sample.size(); ++i) {
        float& largest = rotated.absMax[i % inputs.columns];
        largest = std::max(largest, std::abs(rotated.sample[i]));
    }
    return rotated;
}

}  // namespace quantloupe
