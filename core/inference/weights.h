// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/zeroed_array.h"
#include "core/inference/decoder.h"
#include "core/kernels/dense_algebra.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

namespace quantloupe {

class IntegerLayer;

/// What stands in for a weight matrix. Either replaces decoded rows, in place: whole rows from `firstRow` of
/// matrixShape() on; called by several threads at once, with any number of rows; a row's values must not depend on
/// which rows come with it. Or multiplies by itself, in integers: then the stored rows are not read.
class RowReplacer
{
public:
    using Rows = std::function<void(std::uint64_t firstRow, std::span<float> rows)>;

    RowReplacer() = default;
    template<class Function>
    requires std::is_invocable_v<Function&, std::uint64_t, std::span<float>>
    explicit RowReplacer(Function rows)
        : m_rows(std::move(rows))
    {
    }
    /// @pre the layer has the matrix' shape. Only for matrices of blocks (matricesOf()) whose layers begin at multiples
    /// of IntegerLayer::outputStep.
    explicit RowReplacer(std::shared_ptr<const IntegerLayer> integers)
        : m_integers(std::move(integers))
    {
    }

    /// The same, with something added to the outputs: one number per row of the matrix.
    RowReplacer withOutputBias(std::vector<float> bias) const
    {
        auto copy = *this;
        copy.m_outputBias = std::make_shared<const std::vector<float>>(std::move(bias));
        return copy;
    }

    explicit operator bool() const { return m_rows || m_integers; }
    void operator()(std::uint64_t firstRow, std::span<float> rows) const { m_rows(firstRow, rows); }
    const std::shared_ptr<const IntegerLayer>& integers() const { return m_integers; }
    /// Empty: nothing is added.
    std::span<const float> outputBias() const
    {
        return m_outputBias ? std::span<const float>(*m_outputBias) : std::span<const float>();
    }

private:
    Rows m_rows {};
    std::shared_ptr<const IntegerLayer> m_integers {};
    std::shared_ptr<const std::vector<float>> m_outputBias {};
};

/// What stands in for a weight matrix, asked for once each time the tensor (an index into Model::tensors) is about to
/// be read; an empty replacer leaves it as stored. So a plan's fake-quantized weights reach the forward pass.
using WeightHook = std::function<Result<RowReplacer>(std::size_t tensor)>;

/// Replacers of some tensors, by index; without those that are left as stored.
using Replacers = std::map<std::size_t, RowReplacer>;

/// Asks a hook for what replaces each of these tensors, or their inputs; without those that stay. An empty hook
/// replaces nothing.
template<class Replacer>
Result<std::map<std::size_t, Replacer>> askFor(
    const std::function<Result<Replacer>(std::size_t tensor)>& hook, std::span<const std::size_t> tensors)
{
    std::map<std::size_t, Replacer> replacers;
    if (!hook)
        return replacers;
    for (const auto tensor : tensors) {
        if (replacers.contains(tensor))
            continue;
        auto replacer = hook(tensor);
        if (!replacer)
            return tl::unexpected(replacer.error());
        if (*replacer)
            replacers.emplace(tensor, std::move(*replacer));
    }
    return replacers;
}

/// Outputs [firstOutput, + outputs) of layers side by side that are computed in integers.
struct IntegerPart {
    std::size_t firstOutput = 0, outputs = 0;
    std::size_t firstRow = 0;  ///< of the integer layer
    std::shared_ptr<const IntegerLayer> layer {};
};

/// Layers side by side in float32, with the biases where there are any.
struct LoadedLayers {
    ZeroedArray<float> weights {};  ///< [outputs × inputs]; rows of integer parts are 0, and none if all are
    std::vector<float> bias {};     ///< one per output, or empty
    std::size_t outputs = 0, inputs = 0;
    std::vector<IntegerPart> integers {};  ///< in the order of outputs

    kernels::ConstMatrix matrix() const { return {weights.data(), outputs, inputs, inputs}; }
};

/// Decodes them in parallel, in the caller's task arena. Errors: Malformed (a weight that is NaN or infinite, by tensor
/// and row), Cancelled, those of holdReadable().
Result<LoadedLayers> loadLayers(
    const Model& model, std::span<const LinearLayer> layers, const Replacers& replacers, std::stop_token stop);

/// What the outputs of norms are divided by, channel by channel, by the norm's tensor: the layers behind them have
/// their columns multiplied by it.
using NormDivisors = std::map<std::size_t, std::vector<float>>;

/// A norm's or bias' values.
Result<std::vector<float>> loadVector(const Model& model, std::size_t tensor, std::stop_token stop);

struct LoadedNorm {
    std::vector<float> weight {}, bias {};
    std::vector<float> divisors {};  ///< of what comes out, one per channel, or empty
};
Result<LoadedNorm> loadNorm(
    const Model& model, const NormLayer& norm, std::stop_token stop, const NormDivisors& divisors = {});

}  // namespace quantloupe
