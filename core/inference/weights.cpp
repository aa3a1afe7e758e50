// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/weights.h"

#include "core/inference/operations.h"
#include "core/inference/pieces.h"
#include "core/model/hold_readable.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>

namespace quantloupe {
namespace {

constexpr std::size_t kPieceWeights = 65'536;
constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();

tl::unexpected<Error> notFinite(const ModelTensor& tensor, std::uint64_t row)
{
    return failure(ErrorCode::Malformed, tensor.name,
        "holds NaN or an infinity in row " + std::to_string(row) + ": the model cannot be run");
}

/// Rows [layer.firstRow, + outputs) into `out`.
Result<void> loadRows(const Model& model, const LinearLayer& layer, const RowReplacer* replacer, std::span<float> out,
    const std::stop_token& stop)
{
    const auto& tensor = model.tensors[layer.tensor];
    const auto held = holdReadable(tensor, stop);
    if (!held)
        return tl::unexpected(held.error());
    const auto step = std::max<std::size_t>(1, kPieceWeights / layer.inputs);
    std::atomic<std::uint64_t> badRow = kNone;
    forEachPiece((layer.outputs + step - 1) / step, stop, [&](std::size_t piece) {
        const auto row = piece * step;
        const auto count = std::min(step, layer.outputs - row);
        const auto rows = out.subspan(row * layer.inputs, count * layer.inputs);
        decodeRows(tensor.view, layer.firstRow + row, count, rows);
        bool finite = allFinite(rows);
        if (finite && replacer) {
            (*replacer)(layer.firstRow + row, rows);
            finite = allFinite(rows);
        }
        if (finite)
            return;
        for (std::size_t i = 0; i < count; ++i) {
            if (allFinite(rows.subspan(i * layer.inputs, layer.inputs)))
                continue;
            auto known = badRow.load();
            while (layer.firstRow + row + i < known && !badRow.compare_exchange_weak(known, layer.firstRow + row + i)) {
            }
            return;
        }
    });
    if (stop.stop_requested())
        return stopped(tensor.name);
    if (badRow != kNone)
        return notFinite(tensor, badRow);
    return {};
}

}  // namespace

Result<LoadedLayers> loadLayers(
    const Model& model, std::span<const LinearLayer> layers, const Replacers& replacers, std::stop_token stop)
{
    LoadedLayers loaded;
    bool anyBias = false, anyFloats = false;
    const auto replacerOf = [&](const LinearLayer& layer) {
        const auto found = replacers.find(layer.tensor);
        return found == replacers.end() ? nullptr : &found->second;
    };
    for (const auto& layer : layers) {
        const auto* replacer = replacerOf(layer);
        if (replacer && replacer->integers())
            loaded.integers.push_back({.firstOutput = loaded.outputs,
                .outputs = layer.outputs,
                .firstRow = static_cast<std::size_t>(layer.firstRow),
                .layer = replacer->integers()});
        else
            anyFloats = true;
        loaded.outputs += layer.outputs;
        loaded.inputs = layer.inputs;
        anyBias |= layer.bias.has_value() || (replacer && !replacer->outputBias().empty());
    }
    loaded.weights = ZeroedArray<float>(anyFloats ? loaded.outputs * loaded.inputs : 0);
    loaded.bias.resize(anyBias ? loaded.outputs : 0);
    std::size_t output = 0;
    for (const auto& layer : layers) {
        const auto* replacer = replacerOf(layer);
        if (!replacer || !replacer->integers()) {
            const auto rows = loaded.weights.part(output * layer.inputs, layer.outputs * layer.inputs);
            if (auto done = loadRows(model, layer, replacer, rows, stop); !done)
                return tl::unexpected(done.error());
        }
        if (layer.bias) {
            const auto bias = loadVector(model, *layer.bias, stop);
            if (!bias)
                return tl::unexpected(bias.error());
            std::copy(bias->begin(), bias->end(), loaded.bias.begin() + static_cast<std::ptrdiff_t>(output));
        }
        if (replacer && !replacer->outputBias().empty()) {
            const auto added = replacer->outputBias().subspan(static_cast<std::size_t>(layer.firstRow), layer.outputs);
            const auto bias = std::span(loaded.bias).subspan(output, layer.outputs);
            std::transform(bias.begin(), bias.end(), added.begin(), bias.begin(), std::plus<>());
        }
        output += layer.outputs;
    }
    return loaded;
}

Result<std::vector<float>> loadVector(const Model& model, std::size_t tensor, std::stop_token stop)
{
    const auto& stored = model.tensors[tensor];
    const auto held = holdReadable(stored, std::move(stop));
    if (!held)
        return tl::unexpected(held.error());
    const auto shape = matrixShape(stored.view);
    std::vector<float> values(shape.elements());
    decodeRows(stored.view, 0, shape.rows, values);
    if (!allFinite(values))
        return notFinite(stored, 0);
    return values;
}

Result<LoadedNorm> loadNorm(
    const Model& model, const NormLayer& norm, std::stop_token stop, const NormDivisors& divisors)
{
    LoadedNorm loaded;
    if (const auto found = divisors.find(norm.tensor); found != divisors.end())
        loaded.divisors = found->second;
    auto weight = loadVector(model, norm.tensor, stop);
    if (!weight)
        return tl::unexpected(weight.error());
    loaded.weight = std::move(*weight);
    if (norm.bias) {
        auto bias = loadVector(model, *norm.bias, std::move(stop));
        if (!bias)
            return tl::unexpected(bias.error());
        loaded.bias = std::move(*bias);
    }
    return loaded;
}

}  // namespace quantloupe
