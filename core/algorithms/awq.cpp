// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/awq.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/grid_choice.h"
#include "core/algorithms/row_blocks.h"
#include "core/base/zeroed_array.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace quantloupe {
namespace {

using kernels::Side;

constexpr std::size_t clippingTokens = 512;
constexpr std::size_t clippingSteps = 10;

std::vector<double> meanSizes(const LayerInputs& inputs)
{
    if (!inputs.absMean.empty())
        return {inputs.absMean.begin(), inputs.absMean.end()};
    std::vector<double> sizes(inputs.columns);
    for (std::size_t i = 0; i < inputs.sample.size(); ++i)
        sizes[i % inputs.columns] += static_cast<double>(std::abs(inputs.sample[i]));
    for (double& size : sizes)
        size /= static_cast<double>(inputs.sampleTokens());
    return sizes;
}

std::vector<float> scalesOf(std::span<const double> sizes, double ratio)
{
    std::vector<double> scales(sizes.size());
    std::transform(sizes.begin(), sizes.end(), scales.begin(),
        [ratio](double size) { return std::max(std::pow(size, ratio), 1e-4); });
    const auto [least, most] = std::minmax_element(scales.begin(), scales.end());
    const double middle = std::sqrt(*least * *most);
    std::vector<float> result(scales.size());
    std::transform(
        scales.begin(), scales.end(), result.begin(), [middle](double s) { return static_cast<float>(s / middle); });
    return result;
}

/// The sum of squares of what errors [rows][columns] do to the outputs.
class OutputErrors
{
public:
    OutputErrors(const LayerInputs& inputs, const std::stop_token& stop)
        : m_inputs(inputs)
        , m_moments(inputs.sample.empty() ? inputs.secondMoments.size() : 0)
    {
        const std::size_t columns = inputs.columns;
        forEachIndex(m_moments.size() / columns, stop, [&](std::size_t row) {
            for (std::size_t i = row * columns; i < (row + 1) * columns; ++i)
                m_moments[i] = static_cast<float>(inputs.secondMoments[i]);
        });
    }

    double tokens() const
    {
        return static_cast<double>(m_inputs.sample.empty() ? m_inputs.tokens : m_inputs.sampleTokens());
    }

    double of(std::span<const float> errors, const std::stop_token& stop) const
    {
        const std::size_t columns = m_inputs.columns, rows = errors.size() / columns;
        const kernels::Matrix<const float> panel {errors.data(), rows, columns, columns};
        const bool sampled = !m_inputs.sample.empty();
        const std::size_t width = sampled ? m_inputs.sampleTokens() : columns;
        std::vector<float> product(rows * width);
        const kernels::Matrix<const float> other {
            sampled ? m_inputs.sample.data() : m_moments.data(), width, columns, columns};
        addProductInBands(
            1.0F, panel, Side::Plain, other, Side::Transposed, 0.0F, {product.data(), rows, width, width}, stop);
        double sum = 0.0;
        for (std::size_t i = 0; i < product.size(); ++i)
            sum += static_cast<double>(product[i]) * static_cast<double>(sampled ? product[i] : errors[i]);
        return sum;
    }

private:
    const LayerInputs& m_inputs;
    ZeroedArray<float> m_moments;
};

/// Mean squared error of the outputs with columns scaled; nothing: stopped.
std::optional<double> lossWith(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::span<const float> scales, const OutputErrors& outputs, const std::stop_token& stop)
{
    const std::size_t columns = scales.size();
    ZeroedArray<float> scaled(weights.size());
    forEachIndex(rowCount, stop, [&](std::size_t row) {
        for (std::size_t i = 0; i < columns; ++i)
            scaled[row * columns + i] = weights[row * columns + i] * scales[i];
    });
    const std::vector<UnitGrid> grids = chooseGrids(quantizer, scaled, rowCount, stop);
    std::vector<double> parts((rowCount + rowsPerBlock - 1) / rowsPerBlock);
    if (grids.empty() || !forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
            std::vector<float> errors(count * columns);
            fakeQuantizeRows(quantizer, scaled, grids, first, count, errors);
            for (std::size_t i = 0; i < errors.size(); ++i)
                errors[i] = weights[first * columns + i] - errors[i] / scales[i % columns];
            parts[first / rowsPerBlock] = outputs.of(errors, stop);
        }))
        return std::nullopt;
    return std::accumulate(parts.begin(), parts.end(), 0.0) / (outputs.tokens() * static_cast<double>(rowCount));
}

/// Σ x·xᵀ of the channels of each unit, one after the other.
class UnitMoments
{
public:
    UnitMoments(const LayerInputs& inputs, std::size_t length, const std::stop_token& stop)
        : m_length(length)
        , m_columns(inputs.columns)
        , m_values(inputs.columns * length)
    {
        const std::size_t tokens = inputs.sampleTokens();
        const std::size_t stride = std::max<std::size_t>(1, tokens / clippingTokens);
        forEachIndex((m_columns + length - 1) / length, stop, [&](std::size_t unit) {
            const std::size_t begin = unit * length;
            const std::size_t width = std::min(length, m_columns - begin);
            const kernels::Matrix<float> moments {m_values.data() + begin * length, width, width, width};
            if (tokens > 0) {
                const kernels::Matrix<const float> sample {
                    inputs.sample.data() + begin, (tokens + stride - 1) / stride, width, stride * m_columns};
                addProductInBands(1.0F, sample, Side::Transposed, sample, Side::Plain, 0.0F, moments, stop);
                return;
            }
            for (std::size_t i = 0; i < width && !stop.stop_requested(); ++i)
                for (std::size_t j = 0; j < width; ++j)
                    moments.row(i)[j] = static_cast<float>(inputs.secondMoments[(begin + i) * m_columns + begin + j]);
        });
    }

    kernels::Matrix<const float> of(std::size_t unit) const
    {
        const std::size_t begin = unit * m_length, width = std::min(m_length, m_columns - begin);
        return {m_values.data() + begin * m_length, width, width, width};
    }

private:
    std::size_t m_length, m_columns;
    ZeroedArray<float> m_values;
};

/// Tries the ranges of some rows.
void clipRows(const Quantizer& quantizer, const UnitMoments& moments, std::span<const float> weights,
    std::size_t rowCount, std::span<UnitGrid> best, std::span<float> limits, const std::stop_token& stop)
{
    const std::size_t columns = quantizer.columns(), length = quantizer.unitLength(), units = quantizer.unitsPerRow();
    std::vector<float> largest(best.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
        float& size = largest[i / columns * units + i % columns / length];
        size = std::max(size, std::abs(weights[i]));
    }
    std::vector<double> least(best.size(), std::numeric_limits<double>::infinity());
    std::vector<float> cut(weights.size()), errors(weights.size()), product(rowCount * length);
    std::vector<UnitGrid> grids(best.size());
    for (std::size_t step = 0; step < clippingSteps; ++step) {
        const auto share = static_cast<float>(1.0 - static_cast<double>(step) / 20.0);
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const float limit = share * largest[i / columns * units + i % columns / length];
            cut[i] = std::clamp(weights[i], -limit, limit);
        }
        quantizer.fit(cut, rowCount, grids);
        quantizer.fakeQuantize(cut, rowCount, grids, errors);
        for (std::size_t i = 0; i < weights.size(); ++i)
            errors[i] -= weights[i];
        for (std::size_t unit = 0; unit < units; ++unit) {
            const auto own = moments.of(unit);
            const kernels::Matrix<const float> part {errors.data() + unit * length, rowCount, own.columns, columns};
            if (!addProductInBands(1.0F, part, Side::Plain, own, Side::Plain, 0.0F,
                    {product.data(), rowCount, own.columns, own.columns}, stop))
                return;
            for (std::size_t r = 0; r < rowCount; ++r) {
                double error = 0.0;
                for (std::size_t k = 0; k < own.columns; ++k)
                    error += static_cast<double>(part.row(r)[k]) * static_cast<double>(product[r * own.columns + k]);
                const std::size_t at = r * units + unit;
                if (!(error < least[at]))
                    continue;
                least[at] = error;
                best[at] = grids[at];
                limits[at] = share * largest[at];
            }
        }
    }
}

}  // namespace

Result<AwqScales> searchAwqScales(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, std::stop_token stop)
{
    if (inputs.sample.empty() && (inputs.absMean.empty() || inputs.secondMoments.empty()))
        return failure(ErrorCode::InvalidArgument, "awq",
            "needs a sample of the layer's inputs, or the means of their sizes and their second moments");
    const std::vector<double> sizes = meanSizes(inputs);
    const OutputErrors outputs(inputs, stop);
    AwqScales best;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < awqRatios; ++i) {
        const double ratio = static_cast<double>(i) / static_cast<double>(awqRatios);
        std::vector<float> scales = scalesOf(sizes, ratio);
        const auto loss = lossWith(quantizer, weights, rowCount, scales, outputs, stop);
        if (!loss)
            return calibrationStopped();
        best.losses.push_back(*loss);
        if (!(*loss < least))
            continue;
        least = *loss;
        best.ratio = ratio;
        best.scales = std::move(scales);
    }
    if (best.scales.empty())
        return failure(ErrorCode::InvalidArgument, "awq", "the layer's outputs are beyond the range of numbers");
    return best;
}

ClippedGrids searchClippedGrids(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    const LayerInputs& inputs, const std::stop_token& stop)
{
    const UnitMoments moments(inputs, quantizer.unitLength(), stop);
    const std::size_t columns = quantizer.columns(), units = quantizer.unitsPerRow();
    ClippedGrids result {std::vector<UnitGrid>(rowCount * units), std::vector<float>(rowCount * units)};
    const bool done = forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
        clipRows(quantizer, moments, weights.subspan(first * columns, count * columns), count,
            std::span(result.grids).subspan(first * units, count * units),
            std::span(result.limits).subspan(first * units, count * units), stop);
    });
    return done ? std::move(result) : ClippedGrids {};
}

}  // namespace quantloupe
