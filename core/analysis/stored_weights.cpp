// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/stored_weights.h"

#include "core/analysis/weight_quantization.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace quantloupe {
namespace {

/// Rows as a file holds them, whatever rows of a unit are asked for.
void storeRows(const QuantizedTensor& tensor, std::uint64_t rowsOfAll, std::uint64_t firstRow, std::span<float> rows)
{
    const auto& quantizer = tensor.quantizer();
    const std::uint64_t columns = quantizer.columns(), height = quantizer.rowsPerUnit();
    const auto begin = firstRow / height * height;
    const auto end = std::min(rowsOfAll, (firstRow + (rows.size() / columns) + height - 1) / height * height);
    QuantizedRows stored;
    tensor.quantize(begin, static_cast<std::size_t>(end - begin), stored);
    std::copy_n(
        stored.values.begin() + static_cast<std::ptrdiff_t>((firstRow - begin) * columns), rows.size(), rows.begin());
}

}  // namespace

WeightHook storedWeights(const Model& model, const Plan& plan, std::stop_token stop)
{
    std::vector<std::optional<Scheme>> schemes(model.tensors.size());
    for (const auto& planned : plan.tensors)
        schemes[planned.tensor] = planned.scheme;
    return WeightHook([&model, quantization = weightQuantization(model), schemes = std::move(schemes),
                          stop = std::move(stop)](std::size_t tensor) -> Result<RowReplacer> {
        if (!schemes[tensor])
            return RowReplacer();
        auto quantized = quantization(tensor, *schemes[tensor], stop);
        if (!quantized)
            return tl::unexpected(quantized.error());
        const auto rowsOfAll = matrixShape(model.tensors[tensor].view).rows;
        return RowReplacer([stored = std::move(*quantized), rowsOfAll](std::uint64_t firstRow, std::span<float> rows) {
            storeRows(*stored, rowsOfAll, firstRow, rows);
        });
    });
}

}  // namespace quantloupe
