// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/adaround.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/damped_moments.h"
#include "core/algorithms/row_panel.h"
#include "core/number_formats/integer_codes.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace quantloupe {
namespace {

constexpr float stretchLow = -0.1F, stretchHigh = 1.1F;

/// H as float, divided by the number of tokens.
ZeroedArray<float> momentsPerToken(const LayerInputs& inputs, const std::stop_token& stop)
{
    const std::size_t columns = inputs.columns;
    ZeroedArray<float> moments(inputs.secondMoments.size());
    forEachIndex(columns, stop, [&](std::size_t row) {
        for (std::size_t i = row * columns; i < (row + 1) * columns; ++i)
            moments[i] = static_cast<float>(inputs.secondMoments[i] / static_cast<double>(inputs.tokens));
    });
    return moments;
}

/// Some rows, turned on their side, with everything that gradient descent keeps.
class AdaRoundRows
{
public:
    AdaRoundRows(const Quantizer& quantizer, std::span<const float> weights, std::span<const UnitGrid> grids,
        std::size_t firstRow, std::size_t rowCount)
        : m_columns(quantizer.columns())
        , m_rows(rowCount)
        , m_panel(quantizer, firstRow, rowCount)
        , m_order(m_columns)
        , m_weights(m_columns * rowCount)
        , m_floors(m_weights.size())
        , m_scales(m_weights.size())
        , m_origins(m_weights.size())
        , m_alphas(m_weights.size())
        , m_errors(m_weights.size())
        , m_gradient(m_weights.size())
        , m_integers(integerCodesOf(quantizer.scheme()))
    {
        std::iota(m_order.begin(), m_order.end(), 0U);
        m_panel.gather(weights, m_order, std::span(m_weights));
        m_panel.readGrids(grids);
        for (std::size_t i = 0; i < m_weights.size(); ++i)
            start(i, m_panel.gridsOf(m_panel.unitOf(i / m_rows))[i % m_rows]);
    }

    std::vector<float>& alphas() { return m_alphas; }
    const std::vector<float>& gradient() const { return m_gradient; }
    std::span<const std::uint32_t> order() const { return m_order; }
    const RowPanel& panel() const { return m_panel; }

    /// False: stopped.
    bool findGradient(std::span<const float> moments, std::optional<double> beta, double pull, double outputWeight,
        const std::stop_token& stop)
    {
        for (std::size_t i = 0; i < m_weights.size(); ++i)
            m_errors[i] = weightOf(i, codeAt(i, softOf(m_alphas[i]))) - m_weights[i];
        if (!addProductInBands(static_cast<float>(2.0 * outputWeight),
                kernels::Matrix<const float> {moments.data(), m_columns, m_columns, m_columns}, kernels::Side::Plain,
                kernels::Matrix<const float> {m_errors.data(), m_columns, m_rows, m_rows}, kernels::Side::Plain, 0.0F,
                {m_gradient.data(), m_columns, m_rows, m_rows}, stop))
            return false;
        for (std::size_t i = 0; i < m_weights.size(); ++i) {
            const float sigmoid = 1.0F / (1.0F + std::exp(-m_alphas[i]));
            const float stretched = sigmoid * (stretchHigh - stretchLow) + stretchLow;
            const float h = std::clamp(stretched, 0.0F, 1.0F);
            const float slope = stretched == h ? (stretchHigh - stretchLow) * sigmoid * (1.0F - sigmoid) : 0.0F;
            const float code = m_floors[i] + h;
            float toRounding =
                code >= m_integers.lowest && code <= m_integers.highest ? m_gradient[i] * m_scales[i] : 0.0F;
            if (beta) {
                const double distance = std::abs(2.0 * static_cast<double>(h) - 1.0);
                const double steep = 2.0 * pull * *beta * std::pow(distance, *beta - 1.0);
                toRounding -= static_cast<float>(h > 0.5F ? steep : -steep);
            }
            m_gradient[i] = toRounding * slope;
        }
        return true;
    }

    void descend(std::span<const float> moments, double outputWeight, const AdaRoundOptions& options,
        const std::stop_token& stop)
    {
        std::vector<float> mean(m_alphas.size()), square(m_alphas.size());
        for (std::size_t iteration = 0; iteration < options.iterations; ++iteration) {
            if (!findGradient(moments, adaRoundBeta(iteration, options), options.pull, outputWeight, stop))
                return;
            const auto step = static_cast<double>(iteration + 1);
            const double corrected = std::sqrt(1.0 - std::pow(0.999, step)) / (1.0 - std::pow(0.9, step));
            const auto rate = static_cast<float>(options.learningRate * corrected);
            for (std::size_t i = 0; i < m_alphas.size(); ++i) {
                mean[i] = 0.9F * mean[i] + 0.1F * m_gradient[i];
                square[i] = 0.999F * square[i] + 0.001F * (m_gradient[i] * m_gradient[i]);
                m_alphas[i] -= rate * mean[i] / (std::sqrt(square[i]) + 1e-8F);
            }
        }
    }

    void writeCodes(std::span<std::uint32_t> codes) const
    {
        std::vector<std::uint32_t> own(m_alphas.size());
        for (std::size_t i = 0; i < own.size(); ++i)
            own[i] = static_cast<std::uint32_t>(codeAt(i, m_alphas[i] >= 0.0F ? 1.0F : 0.0F));
        m_panel.scatter(std::span<const std::uint32_t>(own), m_order, codes);
    }

private:
    void start(std::size_t i, const UnitGrid& grid)
    {
        const float position = (m_integers.floatingMinimum ? m_weights[i] - grid.zero : m_weights[i]) / grid.scale;
        const float floor = std::floor(position);
        m_scales[i] = grid.scale;
        m_origins[i] = grid.zero;
        m_floors[i] = m_integers.floatingMinimum ? floor : floor + grid.zero;
        m_alphas[i] = -std::log((stretchHigh - stretchLow) / (position - floor - stretchLow) - 1.0F);
    }
    static float softOf(float alpha)
    {
        return std::clamp((stretchHigh - stretchLow) / (1.0F + std::exp(-alpha)) + stretchLow, 0.0F, 1.0F);
    }
    float codeAt(std::size_t i, float h) const
    {
        return std::clamp(m_floors[i] + h, m_integers.lowest, m_integers.highest);
    }
    float weightOf(std::size_t i, float code) const
    {
        return m_integers.floatingMinimum ? m_scales[i] * code + m_origins[i] : m_scales[i] * (code - m_origins[i]);
    }

    std::size_t m_columns, m_rows;
    RowPanel m_panel;
    std::vector<std::uint32_t> m_order;
    std::vector<float> m_weights, m_floors, m_scales, m_origins, m_alphas, m_errors, m_gradient;
    kernels::IntegerCodes m_integers;
};

}  // namespace

std::optional<double> adaRoundBeta(std::size_t iteration, const AdaRoundOptions& options)
{
    const auto all = static_cast<double>(options.iterations), free = options.freeShare * all;
    const auto now = static_cast<double>(iteration);
    if (now < free)
        return std::nullopt;
    return 2.0 + 9.0 * (1.0 + std::cos(std::numbers::pi * (now - free) / (all - free)));
}

RoundedLayer roundByAdaRound(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::vector<UnitGrid> grids, const LayerInputs& inputs, const AdaRoundOptions& options, const Workload& work)
{
    const ZeroedArray<float> moments = momentsPerToken(inputs, work.stop);
    const double power = outputPower(weights, inputs, work.stop) / static_cast<double>(inputs.tokens);
    const double outputWeight = power > 0.0 ? static_cast<double>(rowCount) / power : 1.0;
    RoundedLayer layer {std::vector<std::uint32_t>(weights.size()), std::move(grids)};
    const bool done = forEachRowBlock(rowCount, work.stop, [&](std::size_t first, std::size_t count) {
        AdaRoundRows rows(quantizer, weights, layer.grids, first, count);
        rows.descend(moments, outputWeight, options, work.stop);
        rows.writeCodes(layer.codes);
        work.finishRows(first, count);
    });
    return done ? std::move(layer) : RoundedLayer {};
}

std::vector<float> adaRoundStart(
    const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount, std::span<const UnitGrid> grids)
{
    AdaRoundRows rows(quantizer, weights, grids, 0, rowCount);
    std::vector<float> alphas(weights.size());
    rows.panel().scatter(std::span<const float>(rows.alphas()), rows.order(), std::span(alphas));
    return alphas;
}

std::vector<float> adaRoundGradient(const Quantizer& quantizer, std::span<const float> weights, std::size_t rowCount,
    std::span<const UnitGrid> grids, const LayerInputs& inputs, std::span<const float> alphas,
    std::optional<double> beta, double pull, double outputWeight)
{
    AdaRoundRows rows(quantizer, weights, grids, 0, rowCount);
    rows.panel().gather(alphas, rows.order(), std::span(rows.alphas()));
    rows.findGradient(momentsPerToken(inputs, {}), beta, pull, outputWeight, {});
    std::vector<float> gradient(weights.size());
    rows.panel().scatter(std::span(rows.gradient()), rows.order(), std::span(gradient));
    return gradient;
}

}  // namespace quantloupe
