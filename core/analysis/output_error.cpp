// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/output_error.h"

#include "core/algorithms/row_blocks.h"
#include "core/calibration/layer_inputs.h"
#include "core/kernels/dense_algebra.h"

#include <tbb/enumerable_thread_specific.h>

#include <cmath>
#include <numeric>

namespace quantloupe {
namespace {

std::vector<float> meanMoments(const LayerInputs& inputs)
{
    std::vector<float> moments(inputs.secondMoments.size());
    const double count = static_cast<double>(inputs.tokens);
    std::transform(inputs.secondMoments.begin(), inputs.secondMoments.end(), moments.begin(),
        [count](double sum) { return static_cast<float>(sum / count); });
    return moments;
}

/// Σ of row·M·rowᵀ over the rows.
double quadraticForm(std::span<const float> rows, kernels::ConstMatrix moments, std::vector<float>& product)
{
    const auto columns = moments.columns;
    product.resize(rows.size());
    kernels::multiplyByTransposed({rows.data(), rows.size() / columns, columns, columns}, moments,
        {product.data(), rows.size() / columns, columns, columns});
    return std::inner_product(rows.begin(), rows.end(), product.begin(), 0.0, std::plus<>(),
        [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); });
}

struct OutputScratch {
    QuantizerScratch quantizer {};
    std::vector<float> decoded {}, finite {}, errors {}, product {};
};

/// One block of rows of one slice: what its outputs are, and what each scheme takes from them.
class OutputBlock
{
public:
    OutputBlock(const ModelTensor& tensor, std::span<const PreparedScheme> schemes, kernels::ConstMatrix moments,
        std::span<const float> mean)
        : m_tensor(tensor)
        , m_schemes(schemes)
        , m_moments(moments)
        , m_mean(mean)
    {
    }

    void measure(std::uint64_t firstRow, std::size_t count, OutputScratch& scratch, std::span<OutputError> sums,
        const std::stop_token& stop) const
    {
        const RowTile tile {.firstRow = firstRow,
            .rowCount = count,
            .weights = rowsOf(m_tensor.view, firstRow, count, scratch.decoded)};
        scratch.finite.assign(tile.weights.begin(), tile.weights.end());
        dropNonFinite(scratch.finite);
        const double signal = quadraticForm(scratch.finite, m_moments, scratch.product);
        for (std::size_t s = 0; s < m_schemes.size() && !stop.stop_requested(); ++s) {
            scratch.errors.resize(tile.weights.size());
            forEachStep(m_schemes[s], tile, scratch.quantizer,
                [&](std::span<const float> rows, std::span<const float> quantized, std::size_t first, std::size_t,
                    std::uint64_t) {
                    const auto offset = (first - static_cast<std::size_t>(firstRow)) * m_moments.columns;
                    for (std::size_t i = 0; i < rows.size(); ++i)
                        scratch.errors[offset + i] = rows[i] - quantized[i];
                });
            dropNonFinite(scratch.errors);
            const double energy = quadraticForm(scratch.errors, m_moments, scratch.product);
            sums[s] = {.energy = energy + changeByBias(m_schemes[s], firstRow, scratch.errors), .signal = signal};
        }
    }

private:
    /// What a correction b of the outputs does to their error energy: Σ b² − 2·b·(E·E x).
    double changeByBias(const PreparedScheme& scheme, std::uint64_t firstRow, std::span<const float> errors) const
    {
        if (!scheme.calibrated || scheme.calibrated->bias.empty())
            return 0.0;
        double change = 0.0;
        for (std::size_t row = 0; row * m_moments.columns < errors.size(); ++row) {
            const auto own = errors.subspan(row * m_moments.columns, m_moments.columns);
            const double lost = std::inner_product(own.begin(), own.end(), m_mean.begin(), 0.0, std::plus<>(),
                [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); });
            const auto bias = static_cast<double>(scheme.calibrated->bias[static_cast<std::size_t>(firstRow) + row]);
            change += bias * (bias - 2.0 * lost);
        }
        return change;
    }

    static void dropNonFinite(std::vector<float>& values)
    {
        for (float& value : values)
            if (!std::isfinite(value))
                value = 0.0F;
    }

    const ModelTensor& m_tensor;
    std::span<const PreparedScheme> m_schemes;
    kernels::ConstMatrix m_moments;
    std::span<const float> m_mean;
};

/// Adds a slice's sums over its tokens to `totals`.
Result<void> addSlice(const ModelTensor& tensor, std::span<const PreparedScheme> schemes, std::uint64_t firstRow,
    std::size_t rowCount, const LayerInputs& inputs, std::span<OutputError> totals, const std::stop_token& stop,
    const ProgressShare& progress)
{
    const auto moments = meanMoments(inputs);
    const auto columns = inputs.columns;
    const OutputBlock block(tensor, schemes, {moments.data(), columns, columns, columns}, inputs.mean);
    const auto blocks = (rowCount + rowsPerBlock - 1) / rowsPerBlock;
    std::vector<OutputError> sums(blocks * schemes.size());
    tbb::enumerable_thread_specific<OutputScratch> scratches;
    const bool done = forEachRowBlock(rowCount, stop, [&](std::size_t first, std::size_t count) {
        block.measure(firstRow + first, count, scratches.local(),
            std::span(sums).subspan(first / rowsPerBlock * schemes.size(), schemes.size()), stop);
        progress.advance(first, first + count, rowCount);
    });
    if (!done)
        return cancelled(tensor);
    const double tokens = static_cast<double>(inputs.tokens);
    for (std::size_t i = 0; i < sums.size(); ++i) {
        totals[i % schemes.size()].energy += tokens * sums[i].energy;
        totals[i % schemes.size()].signal += tokens * sums[i].signal;
    }
    return {};
}

}  // namespace

Result<std::vector<OutputError>> measureOutputErrors(const ModelTensor& tensor, std::span<const PreparedScheme> schemes,
    std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(tensor.view);
    const auto slices = tensor.inputs->slices;
    std::vector<OutputError> totals(schemes.size());
    const auto rows = shape.rows / std::max<std::uint64_t>(1, slices);
    double tokens = 0.0;
    auto remaining = progress;
    for (std::uint64_t slice = 0; slice < slices; ++slice) {
        const auto inputs = tensor.inputs->load(slice, stop);
        if (!inputs)
            return tl::unexpected(inputs.error());
        const auto [share, rest] = remaining.split(1.0 / static_cast<double>(slices - slice));
        remaining = rest;
        const auto columns = (*inputs)->columns;
        if (columns != shape.columns || (*inputs)->secondMoments.size() != columns * columns
            || (*inputs)->tokens == 0) {
            share.finish();
            continue;
        }
        tokens += static_cast<double>((*inputs)->tokens);
        if (auto added =
                addSlice(tensor, schemes, slice * rows, static_cast<std::size_t>(rows), **inputs, totals, stop, share);
            !added)
            return tl::unexpected(added.error());
    }
    if (tokens > 0.0)
        for (auto& total : totals)
            total = {.energy = total.energy / tokens, .signal = total.signal / tokens};
    return totals;
}

}  // namespace quantloupe
