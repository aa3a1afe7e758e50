// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/output_gradient.h"

#include "core/algorithms/banded_product.h"
#include "core/base/unset_array.h"

#include <algorithm>

namespace quantloupe {
namespace {

/// Σ a·b of each row, times `scale`. Returns the sum of all.
double addRows(
    std::size_t rows, std::size_t columns, const float* a, const float* b, double scale, std::span<double> rowLosses)
{
    double sum = 0.0;
    for (std::size_t row = 0; row < rows; ++row) {
        double own = 0.0;
        for (std::size_t i = row * columns; i < (row + 1) * columns; ++i)
            own += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        sum += scale * own;
        if (!rowLosses.empty())
            rowLosses[row] = scale * own;
    }
    return sum;
}

}  // namespace

std::optional<double> outputGradient(
    const StepInputs& inputs, kernels::MutableMatrix errors, const std::stop_token& stop, std::span<double> rowLosses)
{
    using kernels::Side;
    const auto rows = errors.rows, columns = errors.columns, tokens = inputs.values.rows;
    if (inputs.moments) {
        UnsetArray<float> product(rows * columns);
        if (!addProductInBands(2.0F, errors, Side::Plain, inputs.values, Side::Plain, 0.0F,
                {product.data(), rows, columns, columns}, stop))
            return std::nullopt;
        const double loss = addRows(rows, columns, errors.data, product.data(), 0.5, rowLosses);
        std::copy_n(product.data(), rows * columns, errors.data);
        return loss;
    }
    UnsetArray<float> outputs(rows * tokens);
    const kernels::MutableMatrix lost {outputs.data(), rows, tokens, tokens};
    if (!addProductInBands(1.0F, errors, Side::Plain, inputs.values, Side::Transposed, 0.0F, lost, stop))
        return std::nullopt;
    const double share = 1.0 / static_cast<double>(tokens);
    const double loss = addRows(rows, tokens, outputs.data(), outputs.data(), share, rowLosses);
    if (!addProductInBands(
            static_cast<float>(2.0 * share), lost, Side::Plain, inputs.values, Side::Plain, 0.0F, errors, stop))
        return std::nullopt;
    return loss;
}

}  // namespace quantloupe
