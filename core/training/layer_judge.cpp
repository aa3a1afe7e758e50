// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/layer_judge.h"

#include "core/algorithms/banded_product.h"
#include "core/algorithms/damped_moments.h"
#include "core/algorithms/row_blocks.h"
#include "core/base/unset_array.h"
#include "core/base/zeroed_array.h"

#include <numeric>
#include <vector>

namespace quantloupe {

LayerJudge::LayerJudge(std::span<const float> weights, kernels::ConstMatrix tokens)
    : m_weights(weights)
    , m_tokens(tokens)
{
}

LayerJudge::LayerJudge(std::span<const float> weights, const LayerInputs& moments)
    : m_weights(weights)
    , m_moments(&moments)
{
}

std::optional<double> LayerJudge::squares(std::span<const float> quantized, const std::stop_token& stop) const
{
    const auto columns = m_moments != nullptr ? m_moments->columns : m_tokens.columns;
    const auto rows = m_weights.size() / columns;
    ZeroedArray<float> errors(m_weights.size());
    std::vector<double> sums((rows + rowsPerBlock - 1) / rowsPerBlock);
    const bool done = forEachRowBlock(rows, stop, [&](std::size_t first, std::size_t count) {
        const auto own = errors.part(first * columns, count * columns);
        for (std::size_t i = 0; i < own.size(); ++i)
            own[i] = m_weights[(first * columns) + i] - (quantized.empty() ? 0.0F : quantized[(first * columns) + i]);
        if (m_moments != nullptr)
            return;
        UnsetArray<float> outputs(count * m_tokens.rows);
        if (!addProductInBands(1.0F, {own.data(), count, columns, columns}, kernels::Side::Plain, m_tokens,
                kernels::Side::Transposed, 0.0F, {outputs.data(), count, m_tokens.rows, m_tokens.rows}, stop))
            return;
        double sum = 0.0;
        for (const float output : outputs)
            sum += static_cast<double>(output) * static_cast<double>(output);
        sums[first / rowsPerBlock] = sum;
    });
    if (!done)
        return std::nullopt;
    const double whole =
        m_moments != nullptr ? outputPower(errors, *m_moments, stop) : std::accumulate(sums.begin(), sums.end(), 0.0);
    return stop.stop_requested() ? std::nullopt : std::optional(whole / static_cast<double>(tokens()));
}

bool LayerJudge::measureOutput(const std::stop_token& stop)
{
    const auto output = squares({}, stop);
    m_output = output.value_or(0.0);
    return output.has_value();
}

std::optional<LayerError> LayerJudge::judge(std::span<const float> quantized, const std::stop_token& stop) const
{
    const auto lost = squares(quantized, stop);
    if (!lost)
        return std::nullopt;
    return LayerError {.squared = *lost, .relative = m_output > 0.0 ? *lost / m_output : 0.0};
}

}  // namespace quantloupe
