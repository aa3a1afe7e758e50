// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/predicted_divergence.h"

#include "core/algorithms/row_blocks.h"
#include "core/calibration/layer_curvature.h"
#include "core/calibration/layer_inputs.h"
#include "core/kernels/dense_algebra.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace quantloupe {
namespace {

double dotProduct(std::span<const float> a, std::span<const float> b)
{
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
        [](float x, float y) { return static_cast<double>(x) * static_cast<double>(y); });
}

void zeroNonFinite(std::span<float> values)
{
    for (float& value : values)
        if (!std::isfinite(value))
            value = 0.0F;
}

/// What each of `rows` rows gives by itself, summed in their order.
double sumOf(const std::vector<double>& parts)
{
    return std::accumulate(parts.begin(), parts.end(), 0.0);
}

/// One slice of a tensor's rows, with what is known of its inputs and gradients.
class CurvedSlice
{
public:
    CurvedSlice(const ModelTensor& tensor, std::uint64_t firstRow, std::size_t rows, std::size_t columns,
        const LayerInputs& inputs, const LayerCurvature& curvature, std::stop_token stop)
        : m_tensor(tensor)
        , m_firstRow(firstRow)
        , m_rows(rows)
        , m_columns(columns)
        , m_inputs(inputs)
        , m_curvature(curvature)
        , m_stop(std::move(stop))
        , m_errors(rows * columns)
    {
        m_moments.resize(inputs.secondMoments.size());
        const auto tokens = static_cast<double>(inputs.tokens);
        std::transform(inputs.secondMoments.begin(), inputs.secondMoments.end(), m_moments.begin(),
            [tokens](double sum) { return static_cast<float>(sum / tokens); });
    }

    Result<PredictedDivergence> predict(const PreparedScheme& scheme)
    {
        takeErrors(scheme);
        PredictedDivergence predicted;
        // What overflows is not known.
        const auto half = [](double sum) { return std::isfinite(sum) ? 0.5 * std::max(0.0, sum) : -1.0; };
        if (!m_curvature.fisher.empty())
            predicted.fisher = half(alongWeights());
        if (!m_moments.empty())
            predicted.kfac = half(alongOutputs(biasOf(scheme)));
        if (m_stop.stop_requested())
            return cancelled(m_tensor);
        return predicted;
    }

private:
    kernels::MutableMatrix errors() { return {m_errors.data(), m_rows, m_columns, m_columns}; }
    std::span<const float> errorsOf(std::size_t row) const
    {
        return std::span(m_errors).subspan(row * m_columns, m_columns);
    }

    void takeErrors(const PreparedScheme& scheme)
    {
        tbb::enumerable_thread_specific<QuantizerScratch> scratches;
        forEachRowBlock(m_rows, m_stop, [&](std::size_t first, std::size_t count) {
            std::vector<float> decoded;
            const auto weights = rowsOf(m_tensor.view, m_firstRow + first, count, decoded);
            const RowTile tile {.firstRow = m_firstRow + first, .rowCount = count, .weights = weights};
            forEachStep(scheme, tile, scratches.local(),
                [&](std::span<const float> rows, std::span<const float> quantized, std::size_t row, std::size_t,
                    std::uint64_t) {
                    const auto offset = (row - static_cast<std::size_t>(m_firstRow)) * m_columns;
                    for (std::size_t i = 0; i < rows.size(); ++i)
                        m_errors[offset + i] = rows[i] - quantized[i];
                });
            zeroNonFinite(std::span(m_errors).subspan(first * m_columns, count * m_columns));
        });
    }

    /// Σ F·E².
    double alongWeights() const
    {
        std::vector<double> parts(m_rows);
        forEachIndex(m_rows, m_stop, [&](std::size_t row) {
            const auto errors = errorsOf(row);
            const auto fisher = std::span(m_curvature.fisher).subspan(row * m_columns, m_columns);
            for (std::size_t i = 0; i < errors.size(); ++i)
                parts[row] +=
                    static_cast<double>(fisher[i]) * static_cast<double>(errors[i]) * static_cast<double>(errors[i]);
        });
        return sumOf(parts);
    }

    std::span<const float> biasOf(const PreparedScheme& scheme) const
    {
        if (!scheme.calibrated || scheme.calibrated->bias.empty())
            return {};
        return std::span(scheme.calibrated->bias).subspan(static_cast<std::size_t>(m_firstRow), m_rows);
    }

    /// tr(G·D) with D = E Δy·Δyᵀ of what the outputs lose: E·H·Eᵀ, or with a correction b of the outputs
    /// E·H·Eᵀ − b·mᵀ − m·bᵀ + b·bᵀ, m = E·mean(x).
    double alongOutputs(std::span<const float> bias)
    {
        const bool diagonal = m_curvature.outputMoments.empty();
        const kernels::ConstMatrix moments {m_moments.data(), m_columns, m_columns, m_columns};
        const kernels::ConstMatrix g {m_curvature.outputMoments.data(), m_rows, m_rows, m_rows};
        std::vector<float> lost(m_rows, 0.0F);
        for (std::size_t row = 0; !bias.empty() && row < m_rows; ++row)
            lost[row] = static_cast<float>(dotProduct(errorsOf(row), m_inputs.mean));
        std::vector<double> parts(m_rows);
        forEachRowBlock(m_rows, m_stop, [&](std::size_t first, std::size_t count) {
            std::vector<float> byInputs(count * m_columns), byOutputs(count * m_columns);
            const kernels::MutableMatrix inputRows {byInputs.data(), count, m_columns, m_columns};
            kernels::multiply(errors().rowRange(first, count), moments, inputRows);
            if (!diagonal)
                kernels::multiply(g.rowRange(first, count), errors(), {byOutputs.data(), count, m_columns, m_columns});
            for (std::size_t i = 0; i < count; ++i) {
                const auto row = first + i;
                const auto own = std::span<const float>(inputRows.row(i), m_columns);
                const auto square = static_cast<double>(m_curvature.outputSquares[row]);
                parts[row] = diagonal ? square * dotProduct(own, errorsOf(row))
                                      : dotProduct(own, std::span(byOutputs).subspan(i * m_columns, m_columns));
                if (bias.empty())
                    continue;
                const std::span gRow(diagonal ? nullptr : g.row(row), diagonal ? 0 : m_rows);
                const double alongBias = diagonal ? square * static_cast<double>(bias[row]) : dotProduct(gRow, bias);
                const double alongLost = diagonal ? square * static_cast<double>(lost[row]) : dotProduct(gRow, lost);
                parts[row] += static_cast<double>(bias[row]) * (alongBias - (2.0 * alongLost));
            }
        });
        return sumOf(parts);
    }

    const ModelTensor& m_tensor;
    std::uint64_t m_firstRow;
    std::size_t m_rows, m_columns;
    const LayerInputs& m_inputs;
    const LayerCurvature& m_curvature;
    std::stop_token m_stop;
    std::vector<float> m_errors;   ///< W − Ŵ
    std::vector<float> m_moments;  ///< E x·xᵀ; empty: not known
};

/// Adds a part's figures; what is not known of one is not known of the whole.
void addKnown(double& sum, double part)
{
    sum = sum < 0.0 || part < 0.0 ? -1.0 : sum + part;
}

}  // namespace

Result<std::vector<PredictedDivergence>> predictDivergences(const ModelTensor& tensor,
    std::span<const PreparedScheme> schemes, std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(tensor.view);
    const auto slices = std::max<std::uint64_t>(1, tensor.inputs->slices);
    const auto rows = static_cast<std::size_t>(shape.rows / slices);
    const auto columns = static_cast<std::size_t>(shape.columns);
    std::vector<PredictedDivergence> totals(schemes.size());
    bool any = false;
    for (std::uint64_t slice = 0; slice < slices; ++slice) {
        const auto inputs = tensor.inputs->load(slice, stop);
        if (!inputs)
            return tl::unexpected(inputs.error());
        if ((*inputs)->tokens == 0)
            continue;
        const auto curvature = tensor.inputs->loadCurvature(slice, stop);
        if (!curvature)
            return tl::unexpected(curvature.error());
        // An expert that the gradients' text routed nothing to: what it costs is not known.
        if (!*curvature || (*curvature)->outputs != rows || (*curvature)->columns != columns) {
            progress.finish();
            return std::vector<PredictedDivergence>(schemes.size());
        }
        CurvedSlice curved(tensor, slice * rows, rows, columns, **inputs, **curvature, stop);
        for (std::size_t i = 0; i < schemes.size(); ++i) {
            const auto predicted = curved.predict(schemes[i]);
            if (!predicted)
                return tl::unexpected(predicted.error());
            if (!any)
                totals[i] = {.kfac = 0.0, .fisher = 0.0};
            addKnown(totals[i].kfac, predicted->kfac);
            addKnown(totals[i].fisher, predicted->fisher);
        }
        any = true;
    }
    progress.finish();
    return totals;
}

}  // namespace quantloupe
